using Apvirt.Kernel.Sharing;

namespace Apvirt.Kvm;

/// <summary>The fields of this layer that no lock guards (locking.md §2).</summary>
public static class KvmFields
{
    /// <summary>References to a VM.</summary>
    internal static SharedField References { get; } = new("kvm.users_count", "Whoever has a reference may take more, and whoever has none gets one in a single step or never.");

    /// <summary>The address space that a VM's memory is in.</summary>
    internal static SharedField AddressSpace { get; } = new("kvm.mm", "The process that makes the VM sets it before anybody else has the VM.");

    /// <summary>Whether a vCPU is in SIE, out of it, or held out.</summary>
    internal static SharedField Sie { get; } = new("vcpu.prog0c, vcpu.prog20", "The machine enters and leaves SIE in a single step and takes no lock for it.");

    /// <summary>Whether a guest runs in supervisor state.</summary>
    internal static SharedField SupervisorState { get; } = new("vcpu.psw", "The guest itself changes it, and who handles its instruction reads it while it waits.");

    /// <summary>The pages that a secure guest shares with the host.</summary>
    internal static SharedField SharedPages { get; } = new("shared pages", "The ultravisor keeps them, and a guest's own instructions take no lock of the host.");

    /// <summary>The secure VMs and vCPUs that the ultravisor knows.</summary>
    internal static SharedField Ultravisor { get; } = new("ultravisor", "It is firmware, and takes no lock of the host.");

    /// <summary>All fields of the layer.</summary>
    public static IReadOnlyList<SharedField> All { get; } = [References, AddressSpace, Sie, SupervisorState, SharedPages, Ultravisor];
}

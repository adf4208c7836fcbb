using Apvirt.Kernel.Checking;
using Apvirt.Kvm.Interrupts;
using Apvirt.Kvm.Machines;

namespace Apvirt.Kvm;

/// <summary>The guard table of this layer (locking.md §2).</summary>
public static class KvmGuards
{
    /// <summary>What the guest's AP control block holds, and how often it was written.</summary>
    internal static GuardRule<VirtualMachine> Apcb { get; } = new(
        "guest APCB",
        write: [new(VirtualMachine.KvmClass, machine => machine.Lock)],
        exceptions: "a vCPU in SIE reads freely; masks change only while every vCPU is held out");

    /// <summary>How often a vCPU was held out of SIE.</summary>
    internal static GuardRule<Vcpu> Kicks { get; } = new(
        "vcpu kicks",
        write: [new(VirtualMachine.KvmClass, vcpu => vcpu.Machine.Lock)]);

    /// <summary>Who handles intercepted AQIC instructions.</summary>
    internal static GuardRule<VirtualMachine> PqapHook { get; } = new(
        "kvm.pqap_hook",
        write: [new(VirtualMachine.KvmClass, machine => machine.Lock), new(VirtualMachine.HookClass, machine => machine.HookLock)],
        read: [new(VirtualMachine.HookClass, machine => machine.HookLock)]);

    /// <summary>Reference counts of guest subclasses, and the alert mask.</summary>
    internal static GuardRule<Gisa> Subclasses { get; } = new(
        "ISC refcount / alert mask",
        write: [new(Gisa.RefClass, gisa => gisa.RefLock)],
        exceptions: "the end of the VM");

    /// <summary>Pending interrupts, alerts, and the vCPUs that wait.</summary>
    internal static GuardRule<Gisa> Delivery { get; } = new("gisa IPM / IAM / idle vcpus", write: [new(Gisa.RefClass, gisa => gisa.RefLock)]);

    /// <summary>The devices of a VM.</summary>
    internal static GuardRule<VirtualMachine> Devices { get; } = new(
        "kvm.devices",
        write: [new(VirtualMachine.KvmClass, machine => machine.Lock)]);

    /// <summary>What a VM has of secure execution, and whether its vCPUs are being changed (I40, I43).</summary>
    internal static GuardRule<VirtualMachine> SecureState { get; } = new(
        "kvm.pv",
        write: [new(VirtualMachine.KvmClass, machine => machine.Lock)],
        exceptions: "the end of the VM");

    /// <summary>Whether a vCPU is secure, and whether adapter interrupts are virtualised for it (I40).</summary>
    internal static GuardRule<Vcpu> VcpuState { get; } = new(
        "vcpu.pv, ECA.AIV",
        write: [new(Vcpu.VcpuClass, vcpu => vcpu.Mutex)]);

    /// <summary>Whether the guest's PCI instructions are interpreted, and how many of its pages stay in place for that.</summary>
    internal static GuardRule<VirtualMachine> Zpci { get; } = new(
        "kvm.use_zpci_interp, locked pages", write: [new(VirtualMachine.KvmClass, machine => machine.Lock)]);

    /// <summary>The PCI functions of a VM.</summary>
    internal static GuardRule<VirtualMachine> Functions { get; } = new(
        "kvm.kzdev_list", write: [new(VirtualMachine.FunctionsClass, machine => machine.FunctionsLock)]);

    /// <summary>All rules of the layer.</summary>
    public static IReadOnlyList<GuardRule> All { get; } = [Apcb, Kicks, PqapHook, Subclasses, Delivery, Devices, SecureState, VcpuState, Zpci, Functions];
}

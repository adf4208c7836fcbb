using Apvirt.Kernel.Sharing;

namespace Apvirt.VfioPci;

/// <summary>The fields of this layer that no lock guards (locking.md §2).</summary>
public static class PciFields
{
    /// <summary>The name of the only driver that may have a function.</summary>
    internal static SharedField DriverOverride { get; } = new("pdev.driver_override", "Its file takes no lock that removal holds, and the name is replaced whole.");

    /// <summary>What vfio-pci has of a function.</summary>
    internal static SharedField FunctionData { get; } = new("pdev.driver_data", "Only probe and remove write it, which device_lock(pci) keeps apart, and who looks for open devices takes none.");

    /// <summary>The functions that a driver was told of.</summary>
    internal static SharedField DynamicIds { get; } = new("pci_driver.dynids", "Files that take no lock replace them whole, in a single step.");

    /// <summary>What a bound mdev has of its vGPU.</summary>
    internal static SharedField VgpuData { get; } = new("mdev.driver_data of vGPUs", "Only probe and remove write it, which device_lock(mdev) keeps apart, and who looks for open devices takes none.");

    /// <summary>The vGPUs that the driver has.</summary>
    internal static SharedField Vgpus { get; } = new("vGPUs", "Probes of different devices share no lock, and each replaces the list whole, in a single step.");

    /// <summary>The VM whose pages a vGPU tracks.</summary>
    internal static SharedField Tracked { get; } = new("vgpu.kvm", "Only who opens or closes the vGPU writes it, and while it is in use it does not change.");

    /// <summary>The adapters that vGPUs were made of.</summary>
    internal static SharedField Adapters { get; } = new("graphics adapters", "Probes of different vGPUs share no lock; each adapter is made once.");

    /// <summary>The graphics adapters that are parents of vGPUs.</summary>
    internal static SharedField Parents { get; } = new("graphics parents", "Probes of different adapters share no lock, and each has an entry of its own.");

    /// <summary>What the firmware has of a function.</summary>
    internal static SharedField Firmware { get; } = new("zPCI firmware", "It takes no lock of the host.");

    /// <summary>The steps of turning forwarding on that shall fail.</summary>
    internal static SharedField ForwardingFaults { get; } = new("forwarding faults", "Whoever wants a step to fail says so without a lock.");

    /// <summary>All fields of the layer.</summary>
    public static IReadOnlyList<SharedField> All { get; } =
        [DriverOverride, FunctionData, DynamicIds, VgpuData, Vgpus, Tracked, Adapters, Parents, Firmware, ForwardingFaults];
}

using Apvirt.Kernel.Checking;
using Apvirt.Vfio.Devices;

namespace Apvirt.Vfio;

/// <summary>The guard table of this layer (locking.md §2).</summary>
public static class VfioGuards
{
    /// <summary>Number of open files of a device, and the VM captured at the first open.</summary>
    internal static GuardRule<VfioDevice> Opens { get; } = new(
        "device.open_count, device.kvm",
        write: [new(VfioDevice.SetClass, device => device.SetLock)],
        exceptions: "device.kvm by whoever knows that the device is open");

    /// <summary>Pinned guest pages.</summary>
    internal static GuardRule<PinnedPages> Pins { get; } = new(
        "mappings and pins",
        write: [new(PinnedPages.IommuClass, pages => pages.Lock)]);

    /// <summary>All rules of the layer.</summary>
    public static IReadOnlyList<GuardRule> All { get; } = [Opens, Pins];
}

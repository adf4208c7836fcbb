using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;

namespace Apvirt.Devices;

/// <summary>The guard table of this layer (locking.md §2).</summary>
public static class DeviceGuards
{
    // Devices have locks of several classes; in the table they are one.
    private static readonly LockClass AnyDeviceLock = new("device_lock", LockKind.Mutex);

    /// <summary>Which driver a device is bound to.</summary>
    internal static GuardRule<Device> Driver { get; } = new(
        "device.driver",
        write: [new(AnyDeviceLock, device => device.Lock)],
        exceptions: "links, uevents and attributes show what is there; 6.12 reads it unlocked when masks change (F17)");

    /// <summary>The page of an open file.</summary>
    internal static GuardRule<SysfsFile> FileText { get; } = new("file.text", write: [new(SysfsFile.FileClass, file => file.Mutex)]);

    /// <summary>All rules of the layer.</summary>
    public static IReadOnlyList<GuardRule> All { get; } = [Driver, FileText];
}

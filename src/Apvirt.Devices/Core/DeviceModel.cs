using Apvirt.Devices.Events;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Devices.Core;

/// <summary>What all devices of one machine share: scheduler, tree, uevents and log. One per host, and one per guest.</summary>
public sealed class DeviceModel
{
    /// <summary>Makes the device model of a machine.</summary>
    /// <param name="runtime">Its scheduler.</param>
    public DeviceModel(KernelRuntime runtime)
    {
        Runtime = runtime;
        Tree = new SysfsTree(runtime);
        Uevents = new UeventStream(runtime);
    }

    /// <summary>Scheduler, clock and random numbers.</summary>
    public KernelRuntime Runtime { get; }

    /// <summary>The sysfs tree.</summary>
    public SysfsTree Tree { get; }

    /// <summary>The uevents.</summary>
    public UeventStream Uevents { get; }

    /// <summary>The kernel log.</summary>
    public KernelLog Log { get; } = new();
}

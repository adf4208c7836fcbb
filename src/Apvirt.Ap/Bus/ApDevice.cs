using Apvirt.Ap.Architecture;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;

namespace Apvirt.Ap.Bus;

/// <summary>A device of the AP bus: a card or a queue.</summary>
public abstract class ApDevice : Device
{
    private bool _isCheckstopped;
    private bool _isConfigured = true;

    private protected ApDevice(ApBus bus, string name, SysfsDirectory parent, DeviceLockClasses classes, int hwType)
        : base(bus.Model, name, parent, classes)
    {
        ApBus = bus;
        HwType = hwType;
    }

    /// <summary>The bus.</summary>
    public ApBus ApBus { get; }

    /// <summary>Compatible type: 10 (CEX4) to 14 (CEX8).</summary>
    public int HwType { get; }

    /// <summary>Whether the hardware has it configured on, as of the last scan.</summary>
    public bool IsConfigured
    {
        get => Shared(ref _isConfigured, "configuration", isWrite: false);
        internal set => Shared(ref _isConfigured, "configuration", isWrite: true) = value;
    }

    /// <summary>Whether it is checkstopped, as of the last scan.</summary>
    public bool IsCheckstopped
    {
        get => Shared(ref _isCheckstopped, "configuration", isWrite: false);
        internal set => Shared(ref _isCheckstopped, "configuration", isWrite: true) = value;
    }

    /// <summary>Whether it can be used.</summary>
    public bool IsUsable => IsConfigured && !IsCheckstopped;

    /// <summary>MODE of the device's uevents.</summary>
    protected static string ModeName(ApMode mode) => mode switch
    {
        ApMode.Accelerator => "accel",
        ApMode.Ep11 => "ep11",
        _ => "cca",
    };
}

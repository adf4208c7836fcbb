using Apvirt.Ap.Architecture;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Ap.Bus;

/// <summary>A device of the AP bus: a card or a queue.</summary>
public abstract class ApDevice : Device
{
    private Shared<bool> _isConfigured;
    private Shared<bool> _isCheckstopped;

    private protected ApDevice(
        ApBus bus, string name, SysfsDirectory parent, DeviceLockClasses classes, int hwType, ApResponse code)
        : base(bus.Model, name, parent, classes)
    {
        ApBus = bus;
        HwType = hwType;
        _isConfigured = new(code != ApResponse.Deconfigured);
        _isCheckstopped = new(code == ApResponse.Checkstopped);
    }

    /// <summary>The bus.</summary>
    public ApBus ApBus { get; }

    /// <summary>Compatible type: 10 (CEX4) to 14 (CEX8).</summary>
    public int HwType { get; }

    /// <summary>Whether the hardware has it configured on, as of the last scan.</summary>
    public bool IsConfigured
    {
        get => _isConfigured.Read(Runtime, this, ApFields.IsConfigured);
        internal set => _isConfigured.Write(Runtime, this, ApFields.IsConfigured, value);
    }

    /// <summary>Whether it is checkstopped, as of the last scan.</summary>
    public bool IsCheckstopped
    {
        get => _isCheckstopped.Read(Runtime, this, ApFields.IsCheckstopped);
        internal set => _isCheckstopped.Write(Runtime, this, ApFields.IsCheckstopped, value);
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

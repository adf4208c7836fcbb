namespace Apvirt.Devices.Core;

/// <summary>A device directly below <c>/sys/devices</c> that only groups others, on no bus and without a driver.</summary>
public sealed class RootDevice : Device
{
    private static readonly DeviceLockClasses Classes = new("root");

    /// <summary>Makes a root device.</summary>
    /// <param name="model">The machine's device model.</param>
    /// <param name="name">Its name.</param>
    /// <param name="subsystem">SUBSYSTEM of events about it, null if it sends none.</param>
    public RootDevice(DeviceModel model, string name, string? subsystem = null)
        : base(model, name, model.Tree.Devices, Classes) => Subsystem = subsystem;

    /// <inheritdoc/>
    public override string? Subsystem { get; }
}

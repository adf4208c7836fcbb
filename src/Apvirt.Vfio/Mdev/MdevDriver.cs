using Apvirt.Devices.Core;

namespace Apvirt.Vfio.Mdev;

/// <summary>A driver that makes mediated devices for its parents.</summary>
public abstract class MdevDriver : Driver
{
    /// <summary>Makes a driver.</summary>
    /// <param name="bus">The bus.</param>
    /// <param name="name">Its name.</param>
    protected MdevDriver(MdevBus bus, string name) : base(bus, name)
    {
    }

    /// <summary>Name of the parent's driver, which type directories begin with.</summary>
    public abstract string ModuleName { get; }

    /// <summary>What a type's <c>device_api</c> shows.</summary>
    public abstract string DeviceApi { get; }

    /// <summary>Makes a device; the bus registers it and the driver probes it afterwards.</summary>
    /// <param name="type">Its type.</param>
    /// <param name="uuid">Its name.</param>
    public abstract MdevDevice CreateDevice(MdevType type, Guid uuid);
}

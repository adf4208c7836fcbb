using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Devices.Core;

/// <summary>
/// A bus: its devices in the order of their registration, its drivers, and how they come together. Binding and unbinding
/// happens under the device's lock, one device at a time; no other lock of this class is held across a driver's call.
/// </summary>
public abstract class Bus : SysfsDirectory
{
    private static readonly LockClass FilesClass = new("kn_active(bus)", LockKind.ActiveReference);

    private readonly SharedMap<string, Device> _byName;
    private readonly SharedList<Device> _devices;
    private readonly SharedList<Driver> _drivers;
    private Shared<bool> _autoProbe = new(true);

    /// <summary>Makes a bus and its directory below <c>/sys/bus</c>.</summary>
    /// <param name="model">The machine's device model.</param>
    /// <param name="name">Name of the bus.</param>
    protected Bus(DeviceModel model, string name) : base(name, model.Tree.Bus, FilesClass)
    {
        Model = model;
        _byName = new(this, DeviceFields.DevicesByName);
        _devices = new(this, DeviceFields.Devices);
        _drivers = new(this, DeviceFields.Drivers);
        DevicesDirectory = new BusDevicesDirectory(this);
        Add(DevicesDirectory);
        DriversDirectory = AddDirectory("drivers");
        model.Tree.Bus.Add(this);
    }

    /// <summary>The attributes that every bus has, to be put after a bus's own.</summary>
    public static IReadOnlyList<SysfsAttribute> StandardAttributes { get; } =
    [
        new SysfsAttribute<Bus>(
            "drivers_autoprobe",
            SysfsMode.ReadWrite,
            show: static (_, bus, text) =>
            {
                text.Append(bus.AutoProbe ? "1\n"u8 : "0\n"u8);
                return new ValueTask<Errno>(Errno.Ok);
            },
            store: static (_, bus, text) =>
            {
                bus.AutoProbe = text.Length == 0 || text.Span[0] != '0';
                return new ValueTask<Errno>(Errno.Ok);
            }),
        new SysfsAttribute<Bus>(
            "drivers_probe",
            SysfsMode.WriteOnly,
            store: static (task, bus, text) => bus.StoreProbeAsync(task, text)),
        new SysfsAttribute<Bus>("uevent", SysfsMode.WriteOnly, store: static (_, _, _) => new ValueTask<Errno>(Errno.Ok)),
    ];

    /// <summary>The machine's device model.</summary>
    public DeviceModel Model { get; }

    /// <summary>The <c>devices</c> directory.</summary>
    public SysfsDirectory DevicesDirectory { get; }

    /// <summary>The <c>drivers</c> directory.</summary>
    public SysfsDirectory DriversDirectory { get; }

    /// <summary>Whether a new device is offered to the drivers at once.</summary>
    public bool AutoProbe
    {
        get => _autoProbe.Read(Runtime, this, DeviceFields.AutoProbe);
        private set => _autoProbe.Write(Runtime, this, DeviceFields.AutoProbe, value);
    }

    /// <summary>Finds a device by its exact name.</summary>
    /// <param name="name">The name.</param>
    public virtual Device? FindDevice(ReadOnlySpan<char> name) => _byName.TryGet(Runtime, name, out Device? device) ? device : null;

    /// <summary>The devices now, oldest first.</summary>
    public Device[] Devices() => _devices.ToArray(Runtime);

    /// <summary>The drivers now, oldest first.</summary>
    public Driver[] Drivers() => _drivers.ToArray(Runtime);

    /// <summary>Registers a device: it appears in the tree, its add event goes out, and the drivers are asked.</summary>
    /// <param name="task">The registering task.</param>
    /// <param name="device">The device.</param>
    public ValueTask AddDeviceAsync(KernelTask task, Device device)
    {
        device.Bus = this;
        device.IsRegistered = true;
        _devices.Add(Runtime, device);
        if (!device.IsFoundByItsParent)
        {
            if (!_byName.TryAdd(Runtime, device.Name, device))
                throw new ArgumentException($"{this} has a {device.Name} already", nameof(device));
            device.Parent!.Add(device);
        }
        Model.Uevents.Send(device, "add");
        return AutoProbe ? OfferNewAsync(task, device) : default;
    }

    /// <summary>
    /// Removes a device: its files go first and running operations on them are waited for, then its driver gives it up,
    /// then its remove event goes out.
    /// </summary>
    /// <param name="task">The removing task.</param>
    /// <param name="device">The device.</param>
    public async ValueTask RemoveDeviceAsync(KernelTask task, Device device)
    {
        await device.Lock.LockAsync(task);
        if (!device.IsRegistered)
        {
            device.Lock.Unlock(task);
            return;
        }
        device.IsRegistered = false;
        _byName.Remove(Runtime, device.Name, out _);
        if (!device.IsFoundByItsParent)
            device.Parent!.Remove(device.Name);
        else
            Model.Tree.Gone(device.Parent!, device.Name);
        Model.Tree.Gone(DevicesDirectory, device.Name);
        await task.NextStepAsync("remove files");
        await device.Files.DeleteAsync(task);
        device.Files.Retire(task);
        await task.NextStepAsync("unbind driver");
        await DetachAsync(task, device);
        await task.NextStepAsync("take device off bus");
        _devices.Remove(Runtime, device);
        Model.Uevents.Send(device, "remove");
        device.Lock.Unlock(task);
    }

    /// <summary>Registers a driver: every device without a driver is offered to it.</summary>
    /// <param name="task">The registering task.</param>
    /// <param name="driver">The driver.</param>
    public virtual async ValueTask RegisterDriverAsync(KernelTask task, Driver driver)
    {
        DriversDirectory.Add(driver);
        _drivers.Add(Runtime, driver);
        foreach (Device device in Devices())
        {
            if (device.Driver is not null || !Matches(device, driver))
                continue;
            await device.Lock.LockAsync(task);
            if (device.ReadDriver(task) is null && device.IsRegistered)
                await ProbeAsync(task, device, driver);
            device.Lock.Unlock(task);
        }
    }

    /// <summary>Unregisters a driver; its devices stay unbound (ap-bus.md §4).</summary>
    /// <param name="task">The unregistering task.</param>
    /// <param name="driver">The driver.</param>
    public async ValueTask UnregisterDriverAsync(KernelTask task, Driver driver)
    {
        _drivers.Remove(Runtime, driver);
        DriversDirectory.Remove(driver.Name);
        foreach (Device device in Devices())
            await UnbindAsync(task, driver, device);
    }

    /// <summary>Binds a device to a driver, as a write to <c>bind</c> does.</summary>
    /// <param name="task">The binding task.</param>
    /// <param name="driver">The driver.</param>
    /// <param name="device">The device.</param>
    /// <returns>ENODEV if driver and device do not match, EBUSY if the device has a driver, else what the probe answers.</returns>
    public ValueTask<Errno> BindAsync(KernelTask task, Driver driver, Device device) =>
        Matches(device, driver) ? AssociateAsync(task, driver, device) : new ValueTask<Errno>(Errno.ENODEV);

    /// <summary>Binds a device to a driver that its maker chose, without asking whether they match.</summary>
    /// <param name="task">The binding task.</param>
    /// <param name="driver">The driver.</param>
    /// <param name="device">The device.</param>
    /// <returns>ENODEV if the device is going, EBUSY if it has a driver, else what the probe answers.</returns>
    public async ValueTask<Errno> AssociateAsync(KernelTask task, Driver driver, Device device)
    {
        await device.Lock.LockAsync(task);
        Errno error = !device.IsRegistered ? Errno.ENODEV
            : device.ReadDriver(task) is not null ? Errno.EBUSY
            : await ProbeAsync(task, device, driver);
        device.Lock.Unlock(task);
        return error;
    }

    /// <summary>Takes a device from a driver, as a write to <c>unbind</c> does.</summary>
    /// <param name="task">The unbinding task.</param>
    /// <param name="driver">The driver.</param>
    /// <param name="device">The device.</param>
    /// <returns>ENODEV if the device is not bound to this driver.</returns>
    public async ValueTask<Errno> UnbindAsync(KernelTask task, Driver driver, Device device)
    {
        if (device.Driver != driver)
            return Errno.ENODEV;
        await device.Lock.LockAsync(task);
        bool isBound = device.ReadDriver(task) == driver;
        if (isBound)
            await DetachAsync(task, device);
        device.Lock.Unlock(task);
        return isBound ? Errno.Ok : Errno.ENODEV;
    }

    /// <summary>Takes a device from whatever driver it has and offers it to all drivers.</summary>
    /// <param name="task">The task.</param>
    /// <param name="device">The device.</param>
    public async ValueTask ReprobeAsync(KernelTask task, Device device)
    {
        await device.Lock.LockAsync(task);
        await ReprobeLockedAsync(task, device);
        device.Lock.Unlock(task);
    }

    /// <summary>The same for a caller that holds the device's lock.</summary>
    /// <param name="task">The task.</param>
    /// <param name="device">The device.</param>
    protected async ValueTask ReprobeLockedAsync(KernelTask task, Device device)
    {
        await DetachAsync(task, device);
        await task.NextStepAsync("offer to drivers");
        if (device.IsRegistered)
            await OfferAsync(task, device);
    }

    /// <summary>Offers an unbound device to all drivers; the first that takes it has it.</summary>
    /// <param name="task">The task.</param>
    /// <param name="device">The device.</param>
    /// <returns>Whether the device is bound now.</returns>
    public async ValueTask<bool> AttachAsync(KernelTask task, Device device)
    {
        await device.Lock.LockAsync(task);
        bool isBound = device.ReadDriver(task) is not null || await OfferAsync(task, device);
        device.Lock.Unlock(task);
        return isBound;
    }

    /// <summary>Whether a driver's table of devices names a device. Says nothing about whether its probe accepts it.</summary>
    /// <param name="device">The device.</param>
    /// <param name="driver">The driver.</param>
    protected internal abstract bool Matches(Device device, Driver driver);

    /// <summary>What the bus does around a driver's probe. Called with the device's lock held.</summary>
    /// <param name="task">The binding task.</param>
    /// <param name="device">The device.</param>
    /// <param name="driver">The driver.</param>
    protected virtual ValueTask<Errno> ProbeDeviceAsync(KernelTask task, Device device, Driver driver) =>
        driver.ProbeAsync(task, device);

    /// <summary>What the bus does around a driver's remove. Called with the device's lock held.</summary>
    /// <param name="task">The unbinding task.</param>
    /// <param name="device">The device.</param>
    /// <param name="driver">The driver.</param>
    protected virtual ValueTask RemoveFromDeviceAsync(KernelTask task, Device device, Driver driver) =>
        driver.RemoveAsync(task, device);

    // The links between a device and its driver go.
    private void Unlink(Device device, Driver driver)
    {
        device.LinkedDriver = null;
        Model.Tree.Gone(device, "driver");
        Model.Tree.Gone(driver, device.Name);
    }

    // A device can be found, and bound by hand, before the bus offers it to its drivers.
    private async ValueTask OfferNewAsync(KernelTask task, Device device)
    {
        await task.NextStepAsync("offer to drivers");
        await AttachAsync(task, device);
    }

    private async ValueTask<bool> OfferAsync(KernelTask task, Device device)
    {
        foreach (Driver driver in Drivers())
        {
            if (Matches(device, driver) && await ProbeAsync(task, device, driver) == Errno.Ok)
                return true;
        }
        return false;
    }

    private async ValueTask<Errno> ProbeAsync(KernelTask task, Device device, Driver driver)
    {
        device.SetDriver(task, driver);
        device.LinkedDriver = driver;
        Errno error = await ProbeDeviceAsync(task, device, driver);
        if (error == Errno.Ok)
        {
            Model.Uevents.Send(device, "bind");
            return Errno.Ok;
        }
        Unlink(device, driver);
        device.SetDriver(task, null);
        return error;
    }

    private async ValueTask DetachAsync(KernelTask task, Device device)
    {
        if (device.ReadDriver(task) is not { } driver)
            return;
        Unlink(device, driver);
        await RemoveFromDeviceAsync(task, device, driver);
        device.SetDriver(task, null);
        Model.Uevents.Send(device, "unbind");
    }

    private async ValueTask<Errno> StoreProbeAsync(KernelTask task, ReadOnlyMemory<byte> text)
    {
        if (FindDevice(Driver.DeviceName(text.Span)) is not { } device)
            return Errno.ENODEV;
        await AttachAsync(task, device);
        return Errno.Ok;
    }

    /// <summary>The <c>devices</c> directory: a link for each device, made when somebody looks.</summary>
    private sealed class BusDevicesDirectory(Bus bus) : SysfsDirectory("devices", bus)
    {
        public override bool TryFind(ReadOnlySpan<char> name, out SysfsEntry entry)
        {
            Device? device = bus.FindDevice(name);
            if (device is not { IsRegistered: true })
            {
                entry = default;
                return false;
            }
            entry = SysfsEntry.LinkTo(device.Name, device);
            return true;
        }

        public override IEnumerable<SysfsEntry> List() =>
            bus.Devices().Where(d => d.IsRegistered).Select(d => SysfsEntry.LinkTo(d.Name, d));
    }
}

using System.Text;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Vfio.Mdev;

/// <summary>A device that mediated devices are made of, with its types (vfio.md §10).</summary>
public sealed class MdevParent
{
    private static readonly LockClass UnregisterClass = new("unreg_sem", LockKind.RwSemaphore);

    // L3, outside device_lock(mdev). Read while a device is created or removed, written to unregister the parent.
    private readonly KernelRwSemaphore _unregister;
    private readonly SysfsDirectory _typesDirectory;

    private Guarded<int> _available;

    /// <summary>Registers a parent with one type.</summary>
    /// <param name="bus">The mdev bus.</param>
    /// <param name="device">The parent device.</param>
    /// <param name="driver">The driver of its mediated devices.</param>
    /// <param name="maxInstances">How many there can be.</param>
    /// <param name="typeName">sysfs name of the type, without the driver's.</param>
    /// <param name="prettyName">What the type's <c>name</c> shows.</param>
    public MdevParent(MdevBus bus, Device device, MdevDriver driver, int maxInstances, string typeName, string prettyName)
    {
        Bus = bus;
        Device = device;
        Driver = driver;
        MaxInstances = maxInstances;
        _available = new(maxInstances);
        _unregister = new KernelRwSemaphore(UnregisterClass, owner: this);
        _typesDirectory = device.AddDirectory("mdev_supported_types");
        MdevType type = new(_typesDirectory, this, typeName, prettyName);
        Types = [type];
        _typesDirectory.Add(type);
        bus.AddParent(this);
    }

    /// <summary>The mdev bus.</summary>
    public MdevBus Bus { get; }

    /// <summary>The parent device.</summary>
    public Device Device { get; }

    /// <summary>The driver of its mediated devices.</summary>
    public MdevDriver Driver { get; }

    /// <summary>How many mediated devices there can be.</summary>
    public int MaxInstances { get; }

    /// <summary>How many more there can be now, for observers.</summary>
    public int AvailableInstances => _available.Glance(Device.Model.Runtime, this, VfioGuards.MdevInstances);

    /// <summary>The types.</summary>
    public IReadOnlyList<MdevType> Types { get; }

    /// <summary>Creates a mediated device as a write to <c>create</c> does.</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="type">The type.</param>
    /// <param name="text">What was written: 36 characters, or 37 with any last one.</param>
    /// <returns>EINVAL for a bad UUID, EEXIST, EUSERS, ENODEV while the parent goes.</returns>
    public async ValueTask<Errno> CreateAsync(KernelTask task, MdevType type, ReadOnlyMemory<byte> text)
    {
        if (text.Length is not (36 or 37) || !Guid.TryParseExact(Encoding.Latin1.GetString(text.Span[..36]), "D", out Guid uuid))
            return Errno.EINVAL;
        Errno error = await Bus.ReserveAsync(task, this, uuid);
        if (error != Errno.Ok)
            return error;
        await task.NextStepAsync("make device");
        if (!await _unregister.TryLockReadAsync(task))
        {
            await Bus.ReleaseAsync(task, this, uuid);
            return Errno.ENODEV;
        }
        MdevDevice device = Driver.CreateDevice(type, uuid);
        await Bus.AddDeviceAsync(task, device);
        await task.NextStepAsync("bind driver");
        error = await Bus.AssociateAsync(task, Driver, device);
        await task.NextStepAsync("list device");
        if (error == Errno.Ok)
        {
            type.DevicesDirectory.AddLink(device.Name, device);
            await task.NextStepAsync("activate");
            await Bus.ActivateAsync(task, device);
        }
        else
        {
            await Bus.RemoveDeviceAsync(task, device);
        }
        _unregister.UnlockRead(task);
        if (error != Errno.Ok)
            await Bus.ReleaseAsync(task, this, uuid);
        return error;
    }

    /// <summary>
    /// Removes a mediated device. It leaves the tree at once; if user space has it open, the call waits until the last
    /// file is closed (vfio-ap.md §8).
    /// </summary>
    /// <param name="task">The removing task.</param>
    /// <param name="device">The device.</param>
    /// <returns>ENODEV, or EAGAIN if it is being removed already.</returns>
    public async ValueTask<Errno> RemoveAsync(KernelTask task, MdevDevice device)
    {
        Errno error = await Bus.DeactivateAsync(task, device);
        if (error != Errno.Ok)
            return error;
        await task.NextStepAsync("take remove away");
        device.TakeRemoveAway();
        await task.NextStepAsync("look at parent");
        if (!await _unregister.TryLockReadAsync(task))
        {
            // The parent removes it; until then it is as it was.
            if (!Bus.Profile.Has(Quirk.RemoveGoesFirst))
            {
                await Bus.ReactivateAsync(task, device);
                await task.NextStepAsync("give remove back");
                device.GiveRemoveBack();
            }
            return Errno.ENODEV;
        }
        await RemoveDeviceAsync(task, device);
        _unregister.UnlockRead(task);
        return Errno.Ok;
    }

    /// <summary>Unregisters the parent and removes all its mediated devices.</summary>
    /// <param name="task">The unregistering task.</param>
    public async ValueTask UnregisterAsync(KernelTask task)
    {
        await _unregister.LockWriteAsync(task);
        foreach (Device device in Bus.Devices())
        {
            await task.NextStepAsync("look at device");
            // Also one whose removal has begun, and is about to find that the parent goes.
            if (device is MdevDevice mdev && mdev.Type.Parent == this)
                await RemoveDeviceAsync(task, mdev);
        }
        // Whoever makes one right now is told that the parent goes, and is waited for.
        await task.NextStepAsync("remove types");
        foreach (MdevType type in Types)
        {
            await type.Files.DeleteAsync(task);
            type.Files.Retire(task);
        }
        Device.Remove(_typesDirectory.Name);
        Bus.RemoveParent(this);
        await _unregister.UnlockWriteAsync(task);
    }

    private async ValueTask RemoveDeviceAsync(KernelTask task, MdevDevice device)
    {
        await task.NextStepAsync("take device off list");
        device.Type.DevicesDirectory.Remove(device.Name);
        await task.NextStepAsync("remove device");
        await Bus.RemoveDeviceAsync(task, device);
        await task.NextStepAsync("give name back");
        await Bus.ReleaseAsync(task, this, device.Uuid);
    }

    /// <inheritdoc/>
    public override string ToString() => $"mdev parent {Device.Name}";

    /// <summary>How many more there can be now, under the bus's list lock.</summary>
    internal ref int Available(KernelTask task) => ref _available.Change(task, this, VfioGuards.MdevInstances);
}

using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Vfio.Mdev;

/// <summary>
/// The bus of mediated devices. Drivers never match by themselves: a device is bound to the driver of its parent when it
/// is created (sysfs.md §6).
/// </summary>
public sealed class MdevBus : Bus
{
    private static readonly LockClass ListClass = new("mdev_list_lock", LockKind.Mutex);
    private static readonly AttributeTable Table = new(StandardAttributes);

    private readonly SysfsDirectory _parentClass;

    // L30. Guards _known, of each parent what is available, and whether a device is released. A name stays known until then, long
    // after the device left the tree.
    private readonly KernelMutex _listLock = new(ListClass);
    private readonly Dictionary<Guid, MdevDevice?> _known = [];

    /// <summary>Makes the bus, its class of parents and its module.</summary>
    /// <param name="model">The machine's device model.</param>
    /// <param name="profile">Whose quirks apply; strict if null.</param>
    public MdevBus(DeviceModel model, Profile? profile = null) : base(model, "mdev")
    {
        Profile = profile ?? Profile.Strict;
        _parentClass = model.Tree.Class.AddDirectory("mdev_bus");
    }

    /// <summary>Whose quirks apply.</summary>
    public Profile Profile { get; }

    /// <inheritdoc/>
    public override AttributeTable Attributes => Table;

    /// <inheritdoc/>
    protected override bool Matches(Device device, Driver driver) => false;

    internal void AddParent(MdevParent parent)
    {
        _parentClass.AddLink(parent.Device.Name, parent.Device);
        Model.Uevents.Send(parent.Device, "change", "MDEV_STATE", "registered");
    }

    internal void RemoveParent(MdevParent parent)
    {
        _parentClass.Remove(parent.Device.Name);
        Model.Uevents.Send(parent.Device, "change", "MDEV_STATE", "unregistered");
    }

    /// <summary>Takes a name and an instance, or says why not.</summary>
    internal async ValueTask<Errno> ReserveAsync(KernelTask task, MdevParent parent, Guid uuid)
    {
        await _listLock.LockAsync(task);
        Errno error = _known.ContainsKey(uuid) ? Errno.EEXIST : parent.AvailableInstances == 0 ? Errno.EUSERS : Errno.Ok;
        if (error == Errno.Ok)
        {
            _known.Add(uuid, null);
            parent.AvailableInstances--;
        }
        _listLock.Unlock(task);
        return error;
    }

    internal async ValueTask ActivateAsync(KernelTask task, MdevDevice device)
    {
        await _listLock.LockAsync(task);
        _known[device.Uuid] = device;
        _listLock.Unlock(task);
    }

    /// <summary>Begins the removal of a device: EAGAIN while it is not active.</summary>
    internal async ValueTask<Errno> DeactivateAsync(KernelTask task, MdevDevice device)
    {
        await _listLock.LockAsync(task);
        Errno error = !_known.TryGetValue(device.Uuid, out MdevDevice? active) ? Errno.ENODEV
            : active is null ? Errno.EAGAIN
            : Errno.Ok;
        if (error == Errno.Ok)
            _known[device.Uuid] = null;
        _listLock.Unlock(task);
        return error;
    }

    /// <summary>Ends the removal of a device that was not removed, unless somebody else has removed it.</summary>
    internal async ValueTask ReactivateAsync(KernelTask task, MdevDevice device)
    {
        await _listLock.LockAsync(task);
        // The name of one that was removed may be another's by now.
        if (!device.IsReleased)
            _known[device.Uuid] = device;
        _listLock.Unlock(task);
    }

    /// <summary>Gives a name and an instance back, those of a device if there was one.</summary>
    internal async ValueTask ReleaseAsync(KernelTask task, MdevParent parent, Guid uuid, MdevDevice? device = null)
    {
        await _listLock.LockAsync(task);
        device?.IsReleased = true;
        _known.Remove(uuid);
        parent.AvailableInstances++;
        _listLock.Unlock(task);
    }
}

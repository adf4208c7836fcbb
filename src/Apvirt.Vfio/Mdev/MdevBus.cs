using System.Collections.Immutable;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Vfio.Mdev;

/// <summary>
/// The bus of mediated devices. Drivers never match by themselves: a device is bound to the driver of its parent when it
/// is created (sysfs.md §6).
/// </summary>
public sealed class MdevBus : Bus
{
    internal static readonly LockClass ListClass = new("mdev_list_lock", LockKind.Mutex);
    private static readonly AttributeTable Table = new(StandardAttributes);

    private readonly SysfsDirectory _parentClass;

    // L30. Guards _known, and of each parent what is available. A name stays known until its device is released, long after
    // that left the tree.
    internal KernelMutex ListLock { get; }

    private Guarded<ImmutableDictionary<Guid, Known>> _known = new(ImmutableDictionary<Guid, Known>.Empty);

    // Who has a name: nobody yet while the device is being made. It is active unless it is being made or removed.
    private readonly record struct Known(MdevDevice? Device, bool IsActive);

    /// <summary>Makes the bus, its class of parents and its module.</summary>
    /// <param name="model">The machine's device model.</param>
    /// <param name="profile">Whose quirks apply; strict if null.</param>
    public MdevBus(DeviceModel model, Profile? profile = null) : base(model, "mdev")
    {
        Profile = profile ?? Profile.Strict;
        ListLock = new KernelMutex(ListClass, owner: this);
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
        await ListLock.LockAsync(task);
        Errno error = Read(task).ContainsKey(uuid) ? Errno.EEXIST : parent.Available(task) == 0 ? Errno.EUSERS : Errno.Ok;
        if (error == Errno.Ok)
        {
            Write(task, Read(task).Add(uuid, default));
            parent.Available(task)--;
        }
        ListLock.Unlock(task);
        return error;
    }

    internal async ValueTask ActivateAsync(KernelTask task, MdevDevice device)
    {
        await ListLock.LockAsync(task);
        Write(task, Read(task).SetItem(device.Uuid, new Known(device, IsActive: true)));
        ListLock.Unlock(task);
    }

    /// <summary>Begins the removal of a device: EAGAIN while it is not active.</summary>
    internal async ValueTask<Errno> DeactivateAsync(KernelTask task, MdevDevice device)
    {
        await ListLock.LockAsync(task);
        // The name of one that was removed may be another's by now.
        Errno error = !Read(task).TryGetValue(device.Uuid, out Known known) || (known.Device is not null && known.Device != device) ? Errno.ENODEV
            : !known.IsActive ? Errno.EAGAIN
            : Errno.Ok;
        if (error == Errno.Ok)
            Write(task, Read(task).SetItem(device.Uuid, known with { IsActive = false }));
        ListLock.Unlock(task);
        return error;
    }

    /// <summary>Ends the removal of a device that was not removed, unless somebody else has removed it.</summary>
    internal async ValueTask ReactivateAsync(KernelTask task, MdevDevice device)
    {
        await ListLock.LockAsync(task);
        // The name of one that was removed may be another's by now.
        if (Read(task).TryGetValue(device.Uuid, out Known known) && known.Device == device)
            Write(task, Read(task).SetItem(device.Uuid, known with { IsActive = true }));
        ListLock.Unlock(task);
    }

    /// <summary>Gives a name and an instance back.</summary>
    internal async ValueTask ReleaseAsync(KernelTask task, MdevParent parent, Guid uuid)
    {
        await ListLock.LockAsync(task);
        Write(task, Read(task).Remove(uuid));
        parent.Available(task)++;
        ListLock.Unlock(task);
    }

    private ImmutableDictionary<Guid, Known> Read(KernelTask task) => _known.Read(task, this, VfioGuards.MdevNames);

    private void Write(KernelTask task, ImmutableDictionary<Guid, Known> known) => _known.Write(task, this, VfioGuards.MdevNames, known);
}

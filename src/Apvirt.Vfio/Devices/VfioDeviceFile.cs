using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Kvm;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio.Devices;

/// <summary>
/// An open device file: one that a group has given out, or the device's own, which is of no use until it is bound to an
/// iommufd (vfio.md §5, M093, M094).
/// </summary>
public sealed class VfioDeviceFile : IKvmFile
{
    // kvm_ref_lock, L10, a leaf. Guards _kvm.
    internal KernelSpinLock ReferenceLock { get; }

    private Guarded<VirtualMachine?> _kvm;

    // Who uses the file looks at it without a lock; it changes under dev_set->lock.
    private Shared<bool> _isGranted;
    private Shared<bool> _countsAsDirect;

    internal VfioDeviceFile(VfioDevice device, VfioGroup? group, bool isGranted)
    {
        Device = device;
        Group = group;
        _isGranted = new(isGranted);
        ReferenceLock = new KernelSpinLock(VfioGroup.ReferenceClass, owner: this);
    }

    /// <summary>The device.</summary>
    public VfioDevice Device { get; }

    /// <summary>The group that gave the file out; null for the device's own file.</summary>
    public VfioGroup? Group { get; }

    /// <summary>Whether the device can be used through the file. Until then there is nothing but binding (I34).</summary>
    public bool IsGranted => _isGranted.Read(Device.Group.Model.Runtime, this, VfioFields.Granted);

    /// <summary>What every call but binding answers first.</summary>
    /// <returns>EINVAL while the file is not bound.</returns>
    public Errno Use() => IsGranted ? Errno.Ok : Errno.EINVAL;

    /// <summary>VFIO_DEVICE_BIND_IOMMUFD.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iommufd">The iommufd; null for a descriptor that is not open.</param>
    /// <param name="flags">Flags; there are none.</param>
    /// <returns>EINVAL for flags, on a file of a group, or if this or another file is bound; EBUSY while the group's file is open; EBADF.</returns>
    public async ValueTask<Errno> BindAsync(KernelTask task, IommuFd? iommufd, uint flags = 0)
    {
        if (flags != 0 || Group is not null)
            return Errno.EINVAL;
        VfioGroup group = Device.Group;
        await group.Lock.LockAsync(task);
        GroupState state = group.Read(task);
        Errno error = state.IsOpen ? Errno.EBUSY : Errno.Ok;
        if (error == Errno.Ok)
            group.Write(task, state with { DirectOpens = state.DirectOpens + 1 });
        group.Lock.Unlock(task);
        if (error != Errno.Ok)
            return error;
        error = await Device.BindAsync(task, this, iommufd);
        if (error != Errno.Ok)
            await EndDirectAsync(task);
        else
            _countsAsDirect.Write(task.Runtime, this, VfioFields.CountsAsDirect, true);
        return error;
    }

    /// <summary>VFIO_DEVICE_ATTACH_IOMMUFD_PT: the address space replaces the one that the device has.</summary>
    /// <param name="task">The task.</param>
    /// <param name="space">The address space; null for a number that there is not.</param>
    /// <returns>EINVAL on a file of a group or one that is not bound, ENOENT, EBUSY if it is being changed.</returns>
    public async ValueTask<Errno> AttachAsync(KernelTask task, Ioas? space) =>
        Group is not null || !ReadGranted(task) ? Errno.EINVAL
        : space is null ? Errno.ENOENT
        : await Device.AttachAsync(task, this, space);

    /// <summary>VFIO_DEVICE_DETACH_IOMMUFD_PT; may be done without an address space.</summary>
    /// <param name="task">The task.</param>
    /// <returns>EINVAL on a file of a group or one that is not bound, EBUSY if it is being changed.</returns>
    public async ValueTask<Errno> DetachAsync(KernelTask task) =>
        Group is not null || !ReadGranted(task) ? Errno.EINVAL : await Device.AttachAsync(task, this, null);

    /// <summary>Closes the file.</summary>
    /// <param name="task">The task.</param>
    public async ValueTask CloseAsync(KernelTask task)
    {
        await Device.CloseAsync(task, this);
        if (_countsAsDirect.Exchange(task.Runtime, this, VfioFields.CountsAsDirect, false))
            await EndDirectAsync(task);
    }

    /// <inheritdoc/>
    public void SetKvm(KernelTask task, VirtualMachine? machine)
    {
        using KernelSpinLock.Section section = ReferenceLock.Lock(task);
        _kvm.Write(task, this, VfioGuards.FileKvm, machine);
    }

    /// <inheritdoc/>
    public void EndKvm(KernelTask task, VirtualMachine machine)
    {
        using KernelSpinLock.Section section = ReferenceLock.Lock(task);
        VirtualMachine? owner = _kvm.Read(task, this, VfioGuards.FileKvm);
        // F16: 6.12 does not look whose association it ends.
        if (owner != machine && !Device.Group.Profile.Deviates(task, Quirk.ForeignAssociationEnds))
            return;
        if (owner is not null && owner != machine)
            VfioGroup.ReportForeign(task, this, owner, machine);
        _kvm.Write(task, this, VfioGuards.FileKvm, null);
    }

    /// <inheritdoc/>
    public override string ToString() => $"file of {Device.Name}";

    internal VirtualMachine? TryGetKvm(KernelTask task)
    {
        using KernelSpinLock.Section section = ReferenceLock.Lock(task);
        return _kvm.Read(task, this, VfioGuards.FileKvm) is { } machine && machine.TryGet(task) ? machine : null;
    }

    /// <summary>Grants the use of the device, or takes it back. dev_set->lock is held; who uses the file looks without it.</summary>
    internal void Grant(KernelTask task, bool isGranted) => _isGranted.Write(task.Runtime, this, VfioFields.Granted, isGranted);

    internal bool ReadGranted(KernelTask task) => _isGranted.Read(task.Runtime, this, VfioFields.Granted);

    private async ValueTask EndDirectAsync(KernelTask task)
    {
        VfioGroup group = Device.Group;
        await group.Lock.LockAsync(task);
        GroupState state = group.Read(task);
        group.Write(task, state with { DirectOpens = state.DirectOpens - 1 });
        group.Lock.Unlock(task);
    }
}

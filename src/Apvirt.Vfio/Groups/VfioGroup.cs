using System.Collections.Immutable;
using System.Globalization;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Kvm;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio.Groups;

/// <summary>What stands behind the devices of a group.</summary>
public enum GroupKind
{
    /// <summary>An IOMMU: the group owns the DMA of its devices while it is in use.</summary>
    Physical,
    /// <summary>Nothing: the devices do no DMA of their own.</summary>
    Emulated,
    /// <summary>Nothing, although they do DMA; for the privileged only.</summary>
    NoIommu,
}

/// <summary>What VFIO_GROUP_GET_STATUS tells.</summary>
[Flags]
public enum GroupStatus
{
    /// <summary>Nothing.</summary>
    None = 0,
    /// <summary>No driver of the host uses a device of the group.</summary>
    Viable = 1,
    /// <summary>The group has a container or an iommufd.</summary>
    ContainerSet = 2,
}

/// <summary>What a group is used for.</summary>
/// <param name="IsOpen">Whether its file is open, or kept by open devices.</param>
/// <param name="References">To the file: its descriptor, and devices that are open through it.</param>
/// <param name="Container">The container; null if none.</param>
/// <param name="ContainerUsers">1 for the container itself, and 1 for each open device (I33).</param>
/// <param name="Iommufd">The iommufd instead of a container; null if none.</param>
/// <param name="DirectOpens">Devices of the group that are bound by their own files.</param>
internal readonly record struct GroupState(bool IsOpen, int References, VfioContainer? Container, int ContainerUsers, IommuFd? Iommufd, int DirectOpens);

/// <summary>A group of devices and its files below <c>/sys/kernel/iommu_groups</c> (vfio.md §3, sysfs.md §7).</summary>
/// <remarks>
/// Lock order: group_lock, then dev_set->lock, the container's locks, or group.device_lock; kvm_ref_lock is a leaf. The
/// group has no reference to its VM (R1): the pointer may become null at any time.
/// </remarks>
public sealed class VfioGroup : SysfsDirectory, IKvmFile
{
    private const uint StatusBytes = 8;

    internal static readonly LockClass GroupClass = new("group_lock", LockKind.Mutex);
    internal static readonly LockClass ListClass = new("group.device_lock", LockKind.Mutex);
    internal static readonly LockClass ReferenceClass = new("kvm_ref_lock", LockKind.Spin);

    private static readonly SysfsAttribute ReservedRegions = new SysfsAttribute<VfioGroup>("reserved_regions", (_, _) => { });

    private static readonly AttributeTable WithoutIommu = new(
    [
        new SysfsAttribute<VfioGroup>("name", (_, text) => text.Append("vfio-noiommu\n"u8)),
        ReservedRegions,
        new SysfsAttribute<VfioGroup>("type", (_, text) => text.Append("unknown\n"u8), SysfsMode.ReadWrite),
    ]);

    private static readonly AttributeTable WithIommu = new(
    [
        ReservedRegions,
        new SysfsAttribute<VfioGroup>("type", (_, text) => text.Append("DMA-FQ\n"u8), SysfsMode.ReadWrite),
    ]);

    private readonly VfioGroups _groups;
    private readonly DeviceModel _model;
    private RefCount _members = new(1);
    private Shared<bool> _isCoherent = new(true);

    // group_lock, L7. Guards _state and _drivers.
    internal KernelMutex Lock { get; }

    private Guarded<GroupState> _state;
    private Guarded<GroupDrivers> _drivers;

    // Devices that VFIO has, also those that are going; the group's node is there as long as there is one.
    private readonly record struct GroupDrivers(int Count, Device? Node);

    // group.device_lock, L9. Guards _devices.
    internal KernelMutex ListLock { get; }

    private Guarded<ImmutableArray<VfioDevice>> _devices = new([]);

    // kvm_ref_lock, L10, a leaf. Guards _kvm.
    internal KernelSpinLock ReferenceLock { get; }

    private Guarded<VirtualMachine?> _kvm;

    internal VfioGroup(SysfsDirectory parent, int number, DeviceModel model, GroupKind kind, VfioGroups groups)
        : base(number.ToString(CultureInfo.InvariantCulture), parent)
    {
        Number = number;
        Kind = kind;
        _groups = groups;
        _model = model;
        Lock = new KernelMutex(GroupClass, owner: this);
        ListLock = new KernelMutex(ListClass, owner: this);
        ReferenceLock = new KernelSpinLock(ReferenceClass, owner: this);
        Dma = kind == GroupKind.Physical ? new DmaOwnership(model.Runtime, $"group {number}") : null;
        Members = AddDirectory("devices");
    }

    /// <summary>Number of the group: /dev/vfio/N.</summary>
    public int Number { get; }

    /// <summary>What stands behind its devices.</summary>
    public GroupKind Kind { get; }

    /// <summary>The machine's device model.</summary>
    internal DeviceModel Model => _model;

    /// <summary>Whose quirks apply.</summary>
    internal Profile Profile => _groups.Profile;

    /// <summary>Whose the DMA of its devices is; null for a group without an IOMMU.</summary>
    public DmaOwnership? Dma { get; }

    /// <summary>Whether its IOMMU keeps the caches coherent with what its devices do; a device is not registered otherwise.</summary>
    public bool IsCoherent
    {
        get => _isCoherent.Read(_model.Runtime, this, VfioFields.Coherent);
        set => _isCoherent.Write(_model.Runtime, this, VfioFields.Coherent, value);
    }

    /// <summary>Whether a device is in the group; one that has no place in the tree counts as in it.</summary>
    internal bool HasMember(Device? device) => device is null || Members.TryFind(device.Name, out _);

    /// <summary>The links to its devices, whatever driver they have.</summary>
    internal SysfsDirectory Members { get; }

    /// <summary>One more device is in the group.</summary>
    /// <returns>False if the last has left.</returns>
    internal bool TryJoin() => _members.TryGet(_model.Runtime, this, VfioFields.Members);

    /// <summary>A device leaves the group.</summary>
    /// <returns>Whether it was the last.</returns>
    internal bool Leave() => _members.Put(_model.Runtime, this, VfioFields.Members) == 0;

    /// <summary>Whether the file is open, or kept by open devices; for observers.</summary>
    public bool IsOpen => Glance().IsOpen;

    /// <summary>Whether group_lock is held, for observers.</summary>
    public bool IsChanging => Lock.IsHeld;

    /// <summary>The container, for observers.</summary>
    public VfioContainer? Container => Glance().Container;

    /// <summary>Users of the container, for observers (I33).</summary>
    public int ContainerUsers => Glance().ContainerUsers;

    /// <summary>Devices bound by their own files, for observers (I32).</summary>
    public int DirectOpens => Glance().DirectOpens;

    /// <summary>The VM of the group, for observers.</summary>
    public VirtualMachine? Kvm => _kvm.Glance(_model.Runtime, this, VfioGuards.GroupKvm);

    /// <inheritdoc/>
    public override AttributeTable Attributes => Kind == GroupKind.Physical ? WithIommu : WithoutIommu;

    /// <summary>Opens /dev/vfio/N.</summary>
    /// <param name="task">The task.</param>
    /// <param name="isPrivileged">Whether the caller may use devices without an IOMMU.</param>
    /// <returns>ENODEV without devices, EPERM without privilege, EBUSY if it is open or a device of it is in direct use.</returns>
    public async ValueTask<Errno> OpenAsync(KernelTask task, bool isPrivileged = true)
    {
        await Lock.LockAsync(task);
        GroupState state = Read(task);
        await ListLock.LockAsync(task);
        bool hasDevices = !ReadDevices(task).IsEmpty;
        ListLock.Unlock(task);
        Errno error = !hasDevices ? Errno.ENODEV
            : Kind == GroupKind.NoIommu && !isPrivileged ? Errno.EPERM
            : state.DirectOpens > 0 || state.IsOpen ? Errno.EBUSY
            : Errno.Ok;
        if (error == Errno.Ok)
            Write(task, state with { IsOpen = true, References = 1 });
        Lock.Unlock(task);
        return error;
    }

    /// <summary>Closes the descriptor of the file; open devices keep the file (M100).</summary>
    /// <param name="task">The task.</param>
    public async ValueTask CloseAsync(KernelTask task)
    {
        await Lock.LockAsync(task);
        await PutFileAsync(task);
        Lock.Unlock(task);
    }

    /// <summary>VFIO_GROUP_SET_CONTAINER.</summary>
    /// <param name="task">The task.</param>
    /// <param name="file">A container or an iommufd; null for a descriptor that is not open.</param>
    /// <returns>EBADF, EINVAL if it has one, ENODEV without devices, EBADFD for another file, EPERM for a mixture, what claiming DMA answers.</returns>
    public async ValueTask<Errno> SetContainerAsync(KernelTask task, object? file)
    {
        if (file is null)
            return Errno.EBADF;
        await Lock.LockAsync(task);
        Errno error = await SetContainerLockedAsync(task, file);
        Lock.Unlock(task);
        return error;
    }

    private async ValueTask<Errno> SetContainerLockedAsync(KernelTask task, object file)
    {
        GroupState state = Read(task);
        if (state.Container is not null || state.Iommufd is not null)
            return Errno.EINVAL;
        // Its last driver has left; only the file is still open.
        if (!HasDrivers(task))
            return Errno.ENODEV;
        switch (file)
        {
            case VfioContainer container:
                Errno error = await container.AttachAsync(task, this);
                if (error == Errno.Ok)
                    Write(task, Read(task) with { Container = container, ContainerUsers = 1 });
                return error;
            case IommuFd iommufd:
                if (Kind != GroupKind.NoIommu)
                    _ = iommufd.Compatible;
                Write(task, state with { Iommufd = iommufd });
                return Errno.Ok;
            default:
                return Errno.EBADFD;
        }
    }

    /// <summary>VFIO_GROUP_UNSET_CONTAINER.</summary>
    /// <param name="task">The task.</param>
    /// <returns>EINVAL if it has none, EBUSY while devices are open.</returns>
    public async ValueTask<Errno> UnsetContainerAsync(KernelTask task)
    {
        await Lock.LockAsync(task);
        GroupState state = Read(task);
        Errno error = state.Container is null && state.Iommufd is null ? Errno.EINVAL
            : state.Container is not null && state.ContainerUsers != 1 ? Errno.EBUSY
            : Errno.Ok;
        if (error == Errno.Ok)
            await DetachAsync(task);
        Lock.Unlock(task);
        return error;
    }

    /// <summary>VFIO_GROUP_GET_STATUS.</summary>
    /// <param name="task">The task.</param>
    /// <param name="argumentSize">Bytes that the caller has room for.</param>
    /// <returns>EINVAL without room, ENODEV without devices.</returns>
    public async ValueTask<(Errno Error, GroupStatus Status)> GetStatusAsync(KernelTask task, uint argumentSize)
    {
        if (argumentSize < StatusBytes)
            return (Errno.EINVAL, GroupStatus.None);
        await Lock.LockAsync(task);
        GroupState state = Read(task);
        bool hasDrivers = HasDrivers(task);
        Lock.Unlock(task);
        if (!hasDrivers)
            return (Errno.ENODEV, GroupStatus.None);
        return (Errno.Ok,
            (Dma is null or { IsViable: true } ? GroupStatus.Viable : GroupStatus.None)
            | (state.Container is not null || state.Iommufd is not null ? GroupStatus.ContainerSet : GroupStatus.None));
    }

    /// <summary>VFIO_GROUP_GET_DEVICE_FD: opens a device of the group.</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">Name of the device.</param>
    /// <param name="isPrivileged">Whether the caller may use devices without an IOMMU.</param>
    /// <returns>
    /// ENODEV if there is none or it is going, EPERM for a device without an IOMMU and an iommufd if the caller is not privileged or
    /// the iommufd has the address space of containers, else what opening it answers.
    /// </returns>
    public async ValueTask<(Errno Error, VfioDeviceFile? File)> GetDeviceAsync(KernelTask task, string name, bool isPrivileged = true)
    {
        await ListLock.LockAsync(task);
        VfioDevice? device = ReadDevices(task).FirstOrDefault(d => string.Equals(d.Name, name, StringComparison.Ordinal));
        if (device?.TryRegister(task) == false)
            device = null;
        ListLock.Unlock(task);
        return device is null ? (Errno.ENODEV, null) : await device.OpenInGroupAsync(task, isPrivileged);
    }

    /// <inheritdoc/>
    public void SetKvm(KernelTask task, VirtualMachine? machine)
    {
        using KernelSpinLock.Section section = ReferenceLock.Lock(task);
        _kvm.Write(task, this, VfioGuards.GroupKvm, machine);
    }

    /// <inheritdoc/>
    public void EndKvm(KernelTask task, VirtualMachine machine)
    {
        using KernelSpinLock.Section section = ReferenceLock.Lock(task);
        VirtualMachine? owner = _kvm.Read(task, this, VfioGuards.GroupKvm);
        // F16: 6.12 does not look whose association it ends.
        if (owner != machine && !Profile.Deviates(task, Quirk.ForeignAssociationEnds))
            return;
        if (owner is not null && owner != machine)
            VfioGroup.ReportForeign(task, this, owner, machine);
        _kvm.Write(task, this, VfioGuards.GroupKvm, null);
    }

    // R1: a VM's association ends when its own device says so.
    internal static void ReportForeign(KernelTask task, IKvmFile file, VirtualMachine owner, VirtualMachine machine) => task.Checks?.Report(
        task, ViolationKind.Invariant, "R1", $"VM {machine} ends the association of {file} with VM {owner}");

    /// <summary>The group's VM with a reference, if it has one that lives (R3).</summary>
    internal VirtualMachine? TryGetKvm(KernelTask task)
    {
        using KernelSpinLock.Section section = ReferenceLock.Lock(task);
        return _kvm.Read(task, this, VfioGuards.GroupKvm) is { } machine && machine.TryGet(task) ? machine : null;
    }

    private GroupState Glance() => _state.Glance(_model.Runtime, this, VfioGuards.Group);

    private bool HasDrivers(KernelTask task) => _drivers.Read(task, this, VfioGuards.GroupDrivers).Count > 0;

    private ImmutableArray<VfioDevice> ReadDevices(KernelTask task) => _devices.Read(task, this, VfioGuards.GroupDevices);

    internal GroupState Read(KernelTask task) => _state.Read(task, this, VfioGuards.Group);

    internal void Write(KernelTask task, GroupState state) => _state.Write(task, this, VfioGuards.Group, state);

    /// <summary>A device can be opened: it is on the list, and the nodes are there.</summary>
    internal async ValueTask AddAsync(KernelTask task, VfioDevice device)
    {
        await Lock.LockAsync(task);
        GroupDrivers drivers = _drivers.Read(task, this, VfioGuards.GroupDrivers);
        Device node = drivers.Node ?? _groups.Nodes.AddGroup(_model, Number);
        _drivers.Write(task, this, VfioGuards.GroupDrivers, new GroupDrivers(drivers.Count + 1, node));
        Lock.Unlock(task);
        if (device.Parent is not null)
            device.SetNode(task, _groups.Nodes.AddDevice(device.Parent));
        await ListLock.LockAsync(task);
        _devices.Write(task, this, VfioGuards.GroupDevices, ReadDevices(task).Add(device));
        ListLock.Unlock(task);
    }

    internal async ValueTask RemoveAsync(KernelTask task, VfioDevice device)
    {
        await ListLock.LockAsync(task);
        _devices.Write(task, this, VfioGuards.GroupDevices, ReadDevices(task).Remove(device));
        ListLock.Unlock(task);
        if (device.ReadNode(task) is { } node)
            await _groups.Nodes.RemoveDeviceAsync(task, node);
    }

    /// <summary>A device that was removed is not in use any more; with the last one goes the group's node.</summary>
    internal async ValueTask LeaveAsync(KernelTask task)
    {
        await Lock.LockAsync(task);
        GroupDrivers drivers = _drivers.Read(task, this, VfioGuards.GroupDrivers);
        // Under the lock: who comes next makes a node of the same name.
        if (drivers.Count == 1)
            await _groups.Nodes.RemoveGroupAsync(task, drivers.Node!);
        _drivers.Write(task, this, VfioGuards.GroupDrivers, new GroupDrivers(drivers.Count - 1, drivers.Count == 1 ? null : drivers.Node));
        Lock.Unlock(task);
    }

    /// <summary>Gives a reference to the file back, with group_lock held; with the last one the file is released.</summary>
    internal async ValueTask PutFileAsync(KernelTask task)
    {
        GroupState state = Read(task);
        Write(task, state with { References = state.References - 1 });
        if (state.References > 1)
            return;
        if (state.Container is not null || state.Iommufd is not null)
            await DetachAsync(task);
        Write(task, Read(task) with { IsOpen = false });
    }

    private async ValueTask DetachAsync(KernelTask task)
    {
        GroupState state = Read(task);
        if (state.Container is not null)
            await state.Container.DetachAsync(task, this);
        Write(task, Read(task) with { Container = null, ContainerUsers = 0, Iommufd = null });
    }
}

using System.Runtime.CompilerServices;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio.Devices;

/// <summary>
/// A device registered with VFIO (vfio.md §2, §4). The VM is captured at the first open, kept until the last close and
/// given back then (M080, M081).
/// </summary>
/// <remarks>
/// Lifetimes: each open device file holds a registration; <see cref="UnregisterAsync"/> waits for all of them. Lock order:
/// group_lock, dev_set->lock, then the container's locks and whatever the driver takes at open and close.
/// </remarks>
public sealed class VfioDevice
{
    private static readonly TimeSpan RequestInterval = TimeSpan.FromSeconds(10);
    private static readonly LockClass LastCloseClass = new("last close", LockKind.Wait);

    private readonly IVfioDriver _driver;
    private readonly KernelLog _log;
    private readonly Completion _unused;
    private readonly SharedMap<VfioOpenStep, Errno> _faults;
    private RefCount _registrations = new(1);
    private Shared<bool> _isOffered = new(true);
    private Shared<Device?> _node;

    // dev_set->lock, L8. Guards _openCount, _driverOpens, _kvm and _use.
    internal KernelMutex SetLock => Set.Lock;

    private Guarded<int> _openCount;
    private Guarded<int> _driverOpens;
    private Guarded<VirtualMachine?> _kvm;
    private Guarded<DeviceUse> _use;

    // What the first open took for the device, and the last close gives back.
    private readonly record struct DeviceUse(VfioContainer? Container, Type1Iommu? Iommu, IoasAccess? Access, bool KeepsGroupFile);

    /// <summary>Registers a device.</summary>
    /// <param name="name">Name for reports, and by which its group finds it.</param>
    /// <param name="driver">Its driver.</param>
    /// <param name="group">Its group; <see cref="OfferAsync"/> puts it there.</param>
    /// <param name="log">The kernel log.</param>
    /// <param name="parent">The device that it stands for in the tree; null if it has no node.</param>
    /// <param name="set">The set that its driver puts it into; one of its own if null.</param>
    public VfioDevice(string name, IVfioDriver driver, VfioGroup group, KernelLog log, Device? parent = null, VfioDeviceSet? set = null)
    {
        Set = set ?? new VfioDeviceSet(group.Model.Runtime, name);
        Name = name;
        _faults = new SharedMap<VfioOpenStep, Errno>(this, VfioFields.Faults);
        _unused = new Completion(group.Model.Runtime, name, new Duty(LastCloseClass));
        Parent = parent;
        _driver = driver;
        Group = group;
        _log = log;
        Pins = new PinnedPages(group.Model.Runtime, name, driver.HasDmaUnmap, log);
    }

    /// <summary>Name for reports, and by which its group finds it.</summary>
    public string Name { get; }

    /// <summary>Name in the tree: a UUID, or the address of a PCI function.</summary>
    public string DeviceName => Parent?.Name ?? Name;

    /// <summary>The devices that open and close one at a time with it.</summary>
    public VfioDeviceSet Set { get; }

    /// <summary>The device's group.</summary>
    public VfioGroup Group { get; }

    /// <summary>Its driver.</summary>
    public IVfioDriver Driver => _driver;

    /// <summary>The device that it stands for in the tree; null if it has no node.</summary>
    public Device? Parent { get; }

    private KernelRuntime Runtime => Group.Model.Runtime;

    /// <summary>Number of open device files, for observers.</summary>
    public int OpenCount => _openCount.Glance(Runtime, this, VfioGuards.Opens);

    /// <summary>The VM captured at the first open, for observers; null if there was none, and while closed.</summary>
    public VirtualMachine? Kvm => _kvm.Glance(Runtime, this, VfioGuards.Opens);

    /// <summary>The same for the driver, while it opens or closes the device: dev_set->lock is held.</summary>
    /// <param name="task">The task.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    public VirtualMachine? ReadKvm(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) =>
        _kvm.Read(task, this, VfioGuards.Opens, file, line);

    /// <summary>How often the driver was asked to open more than to close; 0 or 1 (I31).</summary>
    public int DriverOpens => _driverOpens.Glance(Runtime, this, VfioGuards.Opens);

    /// <summary>The VM that the driver holds a reference to beside that of the open device, for observers (I18); null if none.</summary>
    public VirtualMachine? DriverMachine => _driver.HeldMachine;

    /// <summary>Whether dev_set->lock is held, for observers.</summary>
    public bool IsChanging => SetLock.IsHeld;

    /// <summary>Guest pages that the device has pinned.</summary>
    public PinnedPages Pins { get; }

    /// <summary>Lets a step of the next open fail, once.</summary>
    /// <param name="step">The step.</param>
    /// <param name="error">What it answers.</param>
    public void Inject(VfioOpenStep step, Errno error) => _faults.Set(Runtime, step, error);

    /// <summary>Registers the device: puts it into its group, where it can be opened.</summary>
    /// <param name="task">The task.</param>
    /// <returns>EINVAL for a driver without the operations of iommufd, and for a device that does DMA without an IOMMU group or one that keeps caches coherent.</returns>
    public async ValueTask<Errno> OfferAsync(KernelTask task)
    {
        if (!_driver.HasIommufdOperations || (Group.Kind == GroupKind.Physical && !(Group.IsCoherent && Group.HasMember(Parent))))
            return Errno.EINVAL;
        Set.Add(this);
        await Group.AddAsync(task, this);
        return Errno.Ok;
    }

    /// <summary>Opens the device's own file; it is of no use until it is bound (M094).</summary>
    /// <param name="task">The task.</param>
    /// <returns>ENODEV if the device is going.</returns>
    public (Errno Error, VfioDeviceFile? File) OpenDirectly(KernelTask task) =>
        TryRegister(task) ? (Errno.Ok, new VfioDeviceFile(this, group: null, isGranted: false)) : (Errno.ENODEV, null);

    /// <summary>
    /// Takes the device out of VFIO: no new opens, then waits until every open file is closed, asking user space every
    /// ten seconds. Cannot fail; a signal ends neither the wait nor the asking (vfio.md §2).
    /// </summary>
    /// <param name="task">The removing task.</param>
    public async ValueTask UnregisterAsync(KernelTask task)
    {
        await Group.RemoveAsync(task, this);
        _isOffered.Write(task.Runtime, this, VfioFields.Offered, false);
        Unregister(task);
        bool interruptible = true;
        for (int count = 0; !_unused.IsDone; count++)
        {
            await _driver.RequestAsync(task, count);
            WaitResult result = await _unused.WaitAsync(task, RequestInterval, interruptible);
            if (result != WaitResult.Interrupted)
                continue;
            interruptible = false;
            if (_log.IsRead)
                _log.Write(LogLevel.Warning, Name, $"device is still in use, task {task} is blocked until it is released");
        }
        await Group.LeaveAsync(task);
        Set.Remove(this);
    }

    /// <summary>User space unmaps a range: the driver is told if the device has pinned anything.</summary>
    /// <param name="task">The unmapping task.</param>
    /// <param name="iova">First address.</param>
    /// <param name="length">Number of bytes.</param>
    public ValueTask TellUnmapAsync(KernelTask task, ulong iova, ulong length) =>
        OpenCount > 0 && Pins.Count > 0 ? _driver.DmaUnmapAsync(task, iova, length) : default;

    /// <inheritdoc/>
    public override string ToString() => Name;

    /// <summary>Holds the device against being unregistered.</summary>
    internal bool TryRegister(KernelTask task) =>
        _isOffered.Read(task.Runtime, this, VfioFields.Offered) && _registrations.TryGet(task.Runtime, this, VfioFields.Registrations);

    /// <summary>The device's node; null if it has none.</summary>
    internal Device? ReadNode(KernelTask task) => _node.Read(task.Runtime, this, VfioFields.Node);

    internal void SetNode(KernelTask task, Device node) => _node.Write(task.Runtime, this, VfioFields.Node, node);

    /// <summary>Opens the device through its group, which has a registration for it.</summary>
    internal async ValueTask<(Errno Error, VfioDeviceFile? File)> OpenInGroupAsync(KernelTask task, bool isPrivileged)
    {
        _unused.Duty!.Begin(task);
        await Group.Lock.LockAsync(task);
        Errno error = await OpenLockedAsync(task, isPrivileged);
        Group.Lock.Unlock(task);
        if (error != Errno.Ok)
            Unregister(task);
        _unused.Duty.End(task);
        return error == Errno.Ok ? (error, new VfioDeviceFile(this, Group, isGranted: true)) : (error, null);
    }

    private async ValueTask<Errno> OpenLockedAsync(KernelTask task, bool isPrivileged)
    {
        GroupState group = Group.Read(task);
        if (group.Container is null && group.Iommufd is null)
            return Errno.EINVAL;
        await SetLock.LockAsync(task);
        if (ReadOpens(task) == 0)
            _kvm.Write(task, this, VfioGuards.Opens, Group.TryGetKvm(task));
        bool hasIommu = Group.Kind != GroupKind.NoIommu;
        Errno error = group.Iommufd is not null && !hasIommu && (!isPrivileged || group.Iommufd.HasCompatible)
            ? Errno.EPERM
            : await AddUserAsync(task, group.Iommufd, throughGroup: true);
        if (error == Errno.Ok && group.Iommufd is not null && hasIommu && ReadOpens(task) == 1)
        {
            error = Fails(task, VfioOpenStep.AttachSpace);
            if (error == Errno.Ok)
                error = await ChangeSpaceAsync(task, _use.Read(task, this, VfioGuards.Opens).Access!, group.Iommufd.Compatible);
            if (error != Errno.Ok)
                await RemoveUserAsync(task);
        }
        if (error != Errno.Ok && ReadOpens(task) == 0)
            PutKvm(task);
        SetLock.Unlock(task);
        return error;
    }

    /// <summary>Binds the device's own file. The group's file is not open, and its lock not held.</summary>
    internal async ValueTask<Errno> BindAsync(KernelTask task, VfioDeviceFile file, IommuFd? iommufd)
    {
        await SetLock.LockAsync(task);
        Errno error = file.ReadGranted(task) ? Errno.EINVAL : iommufd is null ? Errno.EBADF : Errno.Ok;
        if (error == Errno.Ok)
        {
            bool isBound = ReadOpens(task) > 0;
            // F07: 6.12 finds out that the device is bound after it has taken the VM, and then lets go of that of the other.
            if (!isBound || Group.Profile.Deviates(task, Quirk.SecondBindDropsVm))
                _kvm.Write(task, this, VfioGuards.Opens, file.TryGetKvm(task));
            error = isBound ? Errno.EINVAL : await AddUserAsync(task, iommufd, throughGroup: false);
            if (error == Errno.Ok && Fails(task, VfioOpenStep.TellUser) is var untold && untold != Errno.Ok)
            {
                await RemoveUserAsync(task);
                error = untold;
            }
            if (error != Errno.Ok && (!isBound || Group.Profile.Has(Quirk.SecondBindDropsVm)))
                PutKvm(task);
            file.Grant(task, error == Errno.Ok);
        }
        SetLock.Unlock(task);
        return error;
    }

    /// <summary>Attaches the device to an address space, in place of the one it has, or to none.</summary>
    internal async ValueTask<Errno> AttachAsync(KernelTask task, VfioDeviceFile file, Ioas? space)
    {
        await SetLock.LockAsync(task);
        // I34: the driver is told of what was mapped before.
        if (task.Checks is not null && !file.ReadGranted(task))
            task.Checks.Report(task, ViolationKind.Invariant, "I34", $"{Name} is attached through a file that is not bound");
        IoasAccess? access = _use.Read(task, this, VfioGuards.Opens).Access;
        Errno error = access is null ? Errno.EINVAL : await ChangeSpaceAsync(task, access, space);
        if (error == Errno.Ok && space is not null && Fails(task, VfioOpenStep.TellSpace) is var untold && untold != Errno.Ok)
        {
            await ChangeSpaceAsync(task, access!, null);
            error = untold;
        }
        SetLock.Unlock(task);
        return error;
    }

    // A physical device goes first, and back to the space that it had if it cannot go to the new one.
    private async ValueTask<Errno> ChangeSpaceAsync(KernelTask task, IoasAccess access, Ioas? space)
    {
        if (Group.Dma is { } dma)
        {
            if (space is null)
                await dma.BlockAsync(task);
            else if (await dma.AttachAsync(task, space) is var error && error != Errno.Ok)
            {
                // It changes under dev_set->lock only.
                if (access.Space is { } before)
                    await dma.AttachAsync(task, before);
                return error;
            }
        }
        return await access.ChangeAsync(task, space);
    }

    /// <summary>An open file is closed.</summary>
    internal async ValueTask CloseAsync(KernelTask task, VfioDeviceFile file)
    {
        _unused.Duty!.Begin(task);
        if (file.Group is not null)
            await Group.Lock.LockAsync(task);
        if (file.ReadGranted(task))
        {
            await SetLock.LockAsync(task);
            await RemoveUserAsync(task);
            file.Grant(task, isGranted: false);
            SetLock.Unlock(task);
        }
        if (file.Group is not null)
            Group.Lock.Unlock(task);
        Unregister(task);
        _unused.Duty.End(task);
    }

    private int ReadOpens(KernelTask task) => _openCount.Read(task, this, VfioGuards.Opens);

    // The first user makes the driver open the device. What fails is taken back in the reverse order (M098).
    private async ValueTask<Errno> AddUserAsync(KernelTask task, IommuFd? iommufd, bool throughGroup)
    {
        if (ReadOpens(task) > 0)
        {
            _openCount.Change(task, this, VfioGuards.Opens)++;
            return Errno.Ok;
        }
        if (!_driver.Module.TryGet(task))
            return Errno.ENODEV;
        Errno error = Fails(task, VfioOpenStep.UseIommu);
        if (error == Errno.Ok)
            error = iommufd is null ? await UseContainerAsync(task) : await UseIommufdAsync(task, iommufd, throughGroup);
        if (error != Errno.Ok)
        {
            _driver.Module.Put(task);
            return error;
        }
        DeviceUse use = _use.Read(task, this, VfioGuards.Opens);
        if (throughGroup && use.KeepsGroupFile)
            Group.Write(task, Group.Read(task) with { References = Group.Read(task).References + 1 });
        Pins.Open(task, (DmaSpace?)use.Iommu ?? use.Access);
        error = use.Iommu is null || !_driver.HasDmaUnmap ? Errno.Ok : Fails(task, VfioOpenStep.AddListener);
        if (error == Errno.Ok)
            error = Fails(task, VfioOpenStep.OpenDevice);
        if (error == Errno.Ok)
            error = await _driver.OpenDeviceAsync(task);
        if (error == Errno.Ok)
        {
            _driverOpens.Change(task, this, VfioGuards.Opens)++;
            _openCount.Change(task, this, VfioGuards.Opens)++;
        }
        else
        {
            await EndUseAsync(task);
            _driver.Module.Put(task);
        }
        return error;
    }

    private async ValueTask RemoveUserAsync(KernelTask task)
    {
        if (ReadOpens(task) == 1)
        {
            await _driver.CloseDeviceAsync(task);
            _driverOpens.Change(task, this, VfioGuards.Opens)--;
            await EndUseAsync(task);
            _driver.Module.Put(task);
        }
        if (--_openCount.Change(task, this, VfioGuards.Opens) == 0)
            PutKvm(task);
    }

    private async ValueTask<Errno> UseContainerAsync(KernelTask task)
    {
        GroupState group = Group.Read(task);
        if (await group.Container!.FindIommuAsync(task) is not { } iommu)
            return Errno.EINVAL;
        Group.Write(task, group with { ContainerUsers = group.ContainerUsers + 1 });
        _use.Write(task, this, VfioGuards.Opens, new DeviceUse(group.Container, iommu, null, KeepsGroupFile: true));
        if (_driver.HasDmaUnmap)
            await iommu.AddListenerAsync(task, this);
        return Errno.Ok;
    }

    private async ValueTask<Errno> UseIommufdAsync(KernelTask task, IommuFd iommufd, bool throughGroup)
    {
        if (Group.Dma is { } dma && await dma.ClaimAsync(task, iommufd) is var error && error != Errno.Ok)
            return error;
        _use.Write(task, this, VfioGuards.Opens, new DeviceUse(null, null, new IoasAccess(this), KeepsGroupFile: throughGroup && !Group.Profile.Deviates(task, Quirk.GroupMayCloseFirst)));
        return Errno.Ok;
    }

    private async ValueTask EndUseAsync(KernelTask task)
    {
        DeviceUse use = _use.Read(task, this, VfioGuards.Opens);
        if (use.Access?.Space is not null)
            await use.Access.ChangeAsync(task, null);
        if (use.Access is not null && Group.Dma is { } dma)
            await dma.ReleaseAsync(task);
        await Pins.CloseAsync(task);
        if (use.Iommu is not null && _driver.HasDmaUnmap)
            await use.Iommu.RemoveListenerAsync(task, this);
        if (use.Container is not null)
            Group.Write(task, Group.Read(task) with { ContainerUsers = Group.Read(task).ContainerUsers - 1 });
        _use.Write(task, this, VfioGuards.Opens, default);
        if (use.KeepsGroupFile)
            await Group.PutFileAsync(task);
    }

    private Errno Fails(KernelTask task, VfioOpenStep step) => _faults.Remove(task.Runtime, step, out Errno error) ? error : Errno.Ok;

    private void PutKvm(KernelTask task)
    {
        VirtualMachine? machine = _kvm.Read(task, this, VfioGuards.Opens);
        _kvm.Write(task, this, VfioGuards.Opens, null);
        machine?.Put(task);
    }

    private void Unregister(KernelTask task)
    {
        if (_registrations.Put(task.Runtime, this, VfioFields.Registrations) == 0)
            _unused.CompleteAll();
    }
}

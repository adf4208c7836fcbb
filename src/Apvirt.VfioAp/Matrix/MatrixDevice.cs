using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.VfioAp.Mdev;
using Apvirt.VfioAp.Queues;

namespace Apvirt.VfioAp.Matrix;

/// <summary>The matrix device: one for a machine, and what all mediated devices share (vfio-ap.md §2).</summary>
/// <remarks>
/// Lock order, outermost first: ap_perms_mutex (the AP bus's), guests_lock, kvm->lock, pqap_hook_rwsem, mdevs_lock. What
/// is written under several of them may be read under any one (locking.md §2):
/// the list of mdevs: add under guests_lock, delete under guests_lock and mdevs_lock, read under guests_lock;
/// an mdev's VM, matrix and shadow, and which queues are linked: write under guests_lock, kvm->lock if a VM is attached,
/// and mdevs_lock; interrupt state of a queue: mdevs_lock; the host's configuration: guests_lock.
/// </remarks>
public sealed class MatrixDevice : Device
{
    private static readonly DeviceLockClasses Classes = new("matrix");
    internal static readonly LockClass GuestsClass = new("guests_lock", LockKind.Mutex);
    internal static readonly LockClass MdevsClass = new("mdevs_lock", LockKind.Mutex);

    private static readonly AttributeTable Table = new(
    [
        new SysfsAttribute<MatrixDevice>("features", (_, text) => text.Append("guest_matrix hotplug ap_config\n"u8)),
    ]);

    private Guarded<ImmutableArray<QueueRow?>> _rows = new([.. new QueueRow?[ApMask.Size]]);
    private Guarded<ApMask> _knownAdapters;
    private Guarded<ImmutableArray<MatrixMdev>> _mdevs = new([]);
    private Guarded<QciInfo> _info;

    /// <summary>Makes the matrix device.</summary>
    /// <param name="bus">The AP bus.</param>
    /// <param name="instructions">AP instructions, issued by the driver.</param>
    /// <param name="groups">The machine's VFIO groups.</param>
    /// <param name="profile">Whose quirks apply.</param>
    /// <param name="root"><c>/sys/devices/vfio_ap</c></param>
    public MatrixDevice(ApBus bus, IApInstructions instructions, VfioGroups groups, Profile profile, RootDevice root)
        : base(bus.Model, "matrix", root, Classes)
    {
        ApBus = bus;
        Instructions = instructions;
        Groups = groups;
        Profile = profile;
        GuestsLock = new KernelMutex(GuestsClass, owner: this);
        MdevsLock = new KernelMutex(MdevsClass, owner: this);
        _info = new(bus.HasQci ? bus.Configuration : QciInfo.Empty);
        Resets = new QueueResets(this);
    }

    /// <summary>The AP bus.</summary>
    public ApBus ApBus { get; }

    /// <summary>AP instructions, issued by the driver.</summary>
    public IApInstructions Instructions { get; }

    /// <summary>The machine's VFIO groups.</summary>
    public VfioGroups Groups { get; }

    /// <summary>The driver's module, which open mdevs hold.</summary>
    public DriverModule Module { get; } = new("vfio_ap");

    /// <summary>Whose quirks apply.</summary>
    public Profile Profile { get; }

    // L13. Guards _mdevs and _info; see the remarks of the class.

    /// <summary>guests_lock (L13).</summary>
    public KernelMutex GuestsLock { get; }

    /// <summary>The mediated devices, newest first, for observers.</summary>
    public IReadOnlyCollection<MatrixMdev> Mdevs => _mdevs.Glance(Model.Runtime, this, VfioApGuards.Mdevs);

    /// <summary>The host's configuration that guests are filtered by, for observers.</summary>
    public QciInfo Info => _info.Glance(Model.Runtime, this, VfioApGuards.Info);

    // L18. Guards what hangs off an mdev or a queue; see the remarks of the class.

    /// <summary>mdevs_lock (L18).</summary>
    public KernelMutex MdevsLock { get; }

    /// <summary>The one reset operation that can be under way; used under <see cref="MdevsLock"/>.</summary>
    public QueueResets Resets { get; }

    /// <inheritdoc/>
    public override AttributeTable Attributes => Table;

    /// <summary>The adapters of which the driver ever had a queue, for observers.</summary>
    public ApMask KnownAdapters => _knownAdapters.Glance(Model.Runtime, this, VfioApGuards.Adapters);

    /// <summary>The queues of an adapter that the driver has, for observers; null if it never had any.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    public QueueRow? Row(int apid) => _rows.Glance(Model.Runtime, this, VfioApGuards.Adapters)[apid];

    /// <summary>A queue that the driver has, for observers; null if it has not.</summary>
    /// <param name="apqn">The queue.</param>
    public VfioApQueue? Queue(Apqn apqn) => Row(apqn.Apid)?[apqn.Apqi];

    /// <summary>The mediated devices, newest first: sharing is checked in this order.</summary>
    internal ImmutableArray<MatrixMdev> ReadMdevs(GuestsHeld guests) => _mdevs.Read(guests.Task, this, VfioApGuards.Mdevs);

    /// <summary>Puts an mdev on the list.</summary>
    internal void Add(GuestsHeld guests, MatrixMdev mdev)
    {
        ref ImmutableArray<MatrixMdev> mdevs = ref _mdevs.Change(guests.Task, this, VfioApGuards.Mdevs);
        mdevs = mdevs.Insert(0, mdev);
    }

    /// <summary>Takes an mdev off the list.</summary>
    internal void Remove(UpdateLocks locks, MatrixMdev mdev)
    {
        ref ImmutableArray<MatrixMdev> mdevs = ref _mdevs.Change(locks.Task, this, VfioApGuards.MdevRemoval);
        mdevs = mdevs.Remove(mdev);
    }

    /// <summary>The host's configuration that guests are filtered by.</summary>
    internal ref readonly QciInfo ReadInfo(GuestsHeld guests) => ref _info.Read(guests.Task, this, VfioApGuards.Info);

    /// <summary>The same for a caller that holds nothing, which only 6.12 does (F10).</summary>
    internal QciInfo ReadInfoUnlocked(KernelTask task) => _info.Read(task, this, VfioApGuards.Info);

    internal void SetInfo(GuestsHeld guests, QciInfo info) => _info.Write(guests.Task, this, VfioApGuards.Info, info);

    /// <summary>The mdev that a queue is assigned to, bound or not.</summary>
    internal MatrixMdev? AssigneeOf(GuestsHeld guests, Apqn apqn)
    {
        foreach (MatrixMdev mdev in ReadMdevs(guests))
        {
            if (mdev.ReadMatrix(guests.Task).Contains(apqn))
                return mdev;
        }
        return null;
    }

    /// <summary>The adapters of which the driver ever had a queue: no other can be linked. Under guests_lock or mdevs_lock.</summary>
    internal ApMask ReadKnownAdapters(KernelTask task) => _knownAdapters.Read(task, this, VfioApGuards.Adapters);

    /// <summary>The queues of an adapter that the driver has; null if it never had any. Under guests_lock or mdevs_lock.</summary>
    internal QueueRow? ReadRow(KernelTask task, int apid) => _rows.Read(task, this, VfioApGuards.Adapters)[apid];

    /// <summary>A queue that the driver has, null if it has not. Under guests_lock or mdevs_lock.</summary>
    internal VfioApQueue? ReadQueue(KernelTask task, Apqn apqn) => ReadRow(task, apqn.Apid)?.ReadQueue(task, apqn.Apqi);

    // Where a lock is free nobody waits, and no state machine is made of the way on: the ways that had to wait stand below.

    /// <summary>Takes guests_lock.</summary>
    internal ValueTask<GuestsHeld> LockGuestsAsync(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        ValueTask guests = GuestsLock.LockAsync(task, file, line);
        return guests.IsCompletedSuccessfully ? new ValueTask<GuestsHeld>(new GuestsHeld(this, task)) : GuestsAfterAsync(guests, task);
    }

    /// <summary>Takes mdevs_lock, alone or inside others.</summary>
    internal ValueTask<MdevsHeld> LockMdevsAsync(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        ValueTask mdevs = MdevsLock.LockAsync(task, file, line);
        return mdevs.IsCompletedSuccessfully ? new ValueTask<MdevsHeld>(new MdevsHeld(this, task)) : MdevsAfterAsync(mdevs, task);
    }

    /// <summary>
    /// Takes the locks for changing what a guest has: guests_lock, kvm->lock if a VM is attached, mdevs_lock (locking.md §4).
    /// </summary>
    /// <param name="task">The task.</param>
    /// <param name="mdev">The mdev, null if there is none: then no kvm->lock.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    internal ValueTask<UpdateLocks> LockForUpdateAsync(
        KernelTask task, MatrixMdev? mdev, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        ValueTask guests = GuestsLock.LockAsync(task, file, line);
        return guests.IsCompletedSuccessfully
            ? LockUnderGuestsAsync(new GuestsHeld(this, task), mdev, file, line)
            : LockAfterAsync(guests, task, mdev, file, line);
    }

    /// <summary>The same for a caller that holds guests_lock already, to find the mdev. Releasing releases guests_lock too.</summary>
    internal ValueTask<UpdateLocks> LockUnderGuestsAsync(
        GuestsHeld guests, MatrixMdev? mdev, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        KernelTask task = guests.Task;
        KernelMutex? kvmLock = mdev?.ReadKvm(task)?.Lock;
        ValueTask kvm = kvmLock?.LockAsync(task, file, line) ?? default;
        if (!kvm.IsCompletedSuccessfully)
            return LockInnerAfterAsync(kvm, guests, kvmLock, file, line);
        ValueTask mdevs = MdevsLock.LockAsync(task, file, line);
        return mdevs.IsCompletedSuccessfully
            ? new ValueTask<UpdateLocks>(new UpdateLocks(this, task, kvmLock))
            : ProveAfterAsync(mdevs, task, kvmLock);
    }

    /// <summary>Finds the mdev that a queue points to, and takes the locks for changing what its guest has.</summary>
    internal ValueTask<UpdateLocks> LockForQueueAsync(KernelTask task, Apqn apqn, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        ValueTask guests = GuestsLock.LockAsync(task, file, line);
        return guests.IsCompletedSuccessfully
            ? LockUnderGuestsAsync(new GuestsHeld(this, task), ReadQueue(task, apqn)!.ReadMdev(task), file, line)
            : LockForQueueAfterAsync(guests, task, apqn, file, line);
    }

    /// <summary>
    /// Takes the locks for attaching or detaching a VM: guests_lock, its kvm->lock, its pqap_hook_rwsem for write,
    /// mdevs_lock. The VM is not attached yet, or will not be any more, so it is named.
    /// </summary>
    internal ValueTask<UpdateLocks> LockForKvmAsync(
        KernelTask task, VirtualMachine machine, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        ValueTask locks = GuestsLock.LockAsync(task, file, line);
        if (!locks.IsCompletedSuccessfully)
            return LockForKvmAfterAsync(locks, taken: 1, task, machine, file, line);
        locks = machine.Lock.LockAsync(task, file, line);
        if (!locks.IsCompletedSuccessfully)
            return LockForKvmAfterAsync(locks, taken: 2, task, machine, file, line);
        locks = machine.HookLock.LockWriteAsync(task, file, line);
        if (!locks.IsCompletedSuccessfully)
            return LockForKvmAfterAsync(locks, taken: 3, task, machine, file, line);
        locks = MdevsLock.LockAsync(task, file, line);
        return locks.IsCompletedSuccessfully
            ? new ValueTask<UpdateLocks>(new UpdateLocks(this, task, kvmLock: null))
            : LockForKvmAfterAsync(locks, taken: 4, task, machine, file, line);
    }

    /// <summary>Releases what <see cref="LockForKvmAsync"/> took.</summary>
    internal static void UnlockForKvm(UpdateLocks locks, VirtualMachine machine)
    {
        locks.ReleaseInner();
        machine.HookLock.UnlockWrite(locks.Task);
        machine.Lock.Unlock(locks.Task);
        locks.Guests.Release();
    }

    internal QueueRow RowFor(UpdateLocks locks, int apid)
    {
        if (ReadRow(locks.Task, apid) is { } known)
            return known;
        QueueRow row = new(this, apid, ApBus.MaxDomain);
        ref ImmutableArray<QueueRow?> rows = ref _rows.Change(locks.Task, this, VfioApGuards.Adapters);
        rows = rows.SetItem(apid, row);
        ref ApMask adapters = ref _knownAdapters.Change(locks.Task, this, VfioApGuards.Adapters);
        adapters = adapters.With(apid);
        return row;
    }

    // The ways on after an acquisition that had to wait.
    private async ValueTask<GuestsHeld> GuestsAfterAsync(ValueTask guests, KernelTask task)
    {
        await guests;
        return new GuestsHeld(this, task);
    }

    private async ValueTask<MdevsHeld> MdevsAfterAsync(ValueTask mdevs, KernelTask task)
    {
        await mdevs;
        return new MdevsHeld(this, task);
    }

    private async ValueTask<UpdateLocks> LockForQueueAfterAsync(ValueTask guests, KernelTask task, Apqn apqn, string file, int line)
    {
        await guests;
        return await LockUnderGuestsAsync(new GuestsHeld(this, task), ReadQueue(task, apqn)!.ReadMdev(task), file, line);
    }

    private async ValueTask<UpdateLocks> LockAfterAsync(ValueTask guests, KernelTask task, MatrixMdev? mdev, string file, int line)
    {
        await guests;
        return await LockUnderGuestsAsync(new GuestsHeld(this, task), mdev, file, line);
    }

    // The last of those that are taken is the one that had to be waited for.
    private async ValueTask<UpdateLocks> LockForKvmAfterAsync(ValueTask last, int taken, KernelTask task, VirtualMachine machine, string file, int line)
    {
        await last;
        if (taken < 2)
            await machine.Lock.LockAsync(task, file, line);
        if (taken < 3)
            await machine.HookLock.LockWriteAsync(task, file, line);
        if (taken < 4)
            await MdevsLock.LockAsync(task, file, line);
        return new UpdateLocks(this, task, kvmLock: null);
    }

    private async ValueTask<UpdateLocks> LockInnerAfterAsync(ValueTask kvm, GuestsHeld guests, KernelMutex? kvmLock, string file, int line)
    {
        await kvm;
        await MdevsLock.LockAsync(guests.Task, file, line);
        return new UpdateLocks(this, guests.Task, kvmLock);
    }

    private async ValueTask<UpdateLocks> ProveAfterAsync(ValueTask mdevs, KernelTask task, KernelMutex? kvmLock)
    {
        await mdevs;
        return new UpdateLocks(this, task, kvmLock);
    }
}

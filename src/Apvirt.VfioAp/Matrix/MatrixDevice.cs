using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;
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
    private static readonly LockClass DeviceClass = new("device_lock(matrix)", LockKind.Mutex);
    private static readonly LockClass GuestsClass = new("guests_lock", LockKind.Mutex);
    private static readonly LockClass MdevsClass = new("mdevs_lock", LockKind.Mutex);

    private static readonly AttributeTable Table = new(
    [
        new SysfsAttribute<MatrixDevice>("features", (_, text) => text.Append("guest_matrix hotplug ap_config\n"u8)),
    ]);

    private readonly QueueRow?[] _rows = new QueueRow?[ApMask.Size];

    /// <summary>Makes the matrix device.</summary>
    /// <param name="bus">The AP bus.</param>
    /// <param name="instructions">AP instructions, issued by the driver.</param>
    /// <param name="groups">The machine's VFIO groups.</param>
    /// <param name="profile">Whose quirks apply.</param>
    /// <param name="root"><c>/sys/devices/vfio_ap</c></param>
    public MatrixDevice(ApBus bus, IApInstructions instructions, VfioGroups groups, Profile profile, RootDevice root)
        : base(bus.Model, "matrix", root, DeviceClass)
    {
        ApBus = bus;
        Instructions = instructions;
        Groups = groups;
        Profile = profile;
        Info = bus.HasQci ? bus.Configuration : QciInfo.Empty;
        Resets = new QueueResets(this);
    }

    /// <summary>The AP bus.</summary>
    public ApBus ApBus { get; }

    /// <summary>AP instructions, issued by the driver.</summary>
    public IApInstructions Instructions { get; }

    /// <summary>The machine's VFIO groups.</summary>
    public VfioGroups Groups { get; }

    /// <summary>Whose quirks apply.</summary>
    public Profile Profile { get; }

    // L13. Guards Mdevs and Info; see the remarks of the class.

    /// <summary>guests_lock (L13).</summary>
    public KernelMutex GuestsLock { get; } = new(GuestsClass);

    /// <summary>The mediated devices, newest first: sharing is checked in this order.</summary>
    public LinkedList<MatrixMdev> Mdevs { get; } = new();

    /// <summary>The host's configuration that guests are filtered by.</summary>
    public QciInfo Info { get; internal set; }

    // L18. Guards what hangs off an mdev or a queue; see the remarks of the class.

    /// <summary>mdevs_lock (L18).</summary>
    public KernelMutex MdevsLock { get; } = new(MdevsClass);

    /// <summary>The one reset operation that can be under way; used under <see cref="MdevsLock"/>.</summary>
    public QueueResets Resets { get; }

    /// <summary>Highest adapter id that can be assigned.</summary>
    public int MaxAdapter => Info.HasApxa ? Info.MaxAdapter : QciInfo.MaxAdapterWithoutApxa;

    /// <summary>Highest domain id that can be assigned.</summary>
    public int MaxDomain => Info.HasApxa ? Info.MaxDomain : QciInfo.MaxDomainWithoutApxa;

    /// <inheritdoc/>
    public override AttributeTable Attributes => Table;

    /// <summary>The queues of an adapter that the driver has; null if it never had any.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    public QueueRow? Row(int apid) => _rows[apid];

    /// <summary>A queue that the driver has, null if it has not.</summary>
    /// <param name="apqn">The queue.</param>
    public VfioApQueue? Queue(Apqn apqn) => _rows[apqn.Apid]?[apqn.Apqi];

    /// <summary>The mdev that a queue is assigned to, bound or not. The caller holds guests_lock.</summary>
    /// <param name="apqn">The queue.</param>
    public MatrixMdev? AssigneeOf(Apqn apqn)
    {
        for (LinkedListNode<MatrixMdev>? node = Mdevs.First; node is not null; node = node.Next)
        {
            if (node.Value.Matrix.Contains(apqn))
                return node.Value;
        }
        return null;
    }

    /// <summary>
    /// Takes the locks for changing what a guest has: guests_lock, kvm->lock if a VM is attached, mdevs_lock (locking.md §4).
    /// </summary>
    /// <param name="task">The task.</param>
    /// <param name="mdev">The mdev, null if there is none: then no kvm->lock.</param>
    internal ValueTask<UpdateLocks> LockForUpdateAsync(KernelTask task, MatrixMdev? mdev)
    {
        ValueTask guests = GuestsLock.LockAsync(task);
        return guests.IsCompletedSuccessfully ? LockUnderGuestsAsync(task, mdev) : LockAfterAsync(guests, task, mdev);
    }

    /// <summary>The same for a caller that holds guests_lock already, to find the mdev. Releasing releases guests_lock too.</summary>
    internal ValueTask<UpdateLocks> LockUnderGuestsAsync(KernelTask task, MatrixMdev? mdev)
    {
        KernelMutex? kvmLock = mdev?.Kvm?.Lock;
        ValueTask kvm = kvmLock?.LockAsync(task) ?? default;
        if (!kvm.IsCompletedSuccessfully)
            return LockInnerAfterAsync(kvm, task, kvmLock);
        ValueTask mdevs = MdevsLock.LockAsync(task);
        return mdevs.IsCompletedSuccessfully
            ? new ValueTask<UpdateLocks>(new UpdateLocks(this, task, kvmLock))
            : ProveAfterAsync(mdevs, task, kvmLock);
    }

    internal QueueRow RowFor(int apid) => _rows[apid] ??= new QueueRow(ApBus.MaxDomain);

    // The ways on after an acquisition that had to wait.
    private async ValueTask<UpdateLocks> LockAfterAsync(ValueTask guests, KernelTask task, MatrixMdev? mdev)
    {
        await guests;
        return await LockUnderGuestsAsync(task, mdev);
    }

    private async ValueTask<UpdateLocks> LockInnerAfterAsync(ValueTask kvm, KernelTask task, KernelMutex? kvmLock)
    {
        await kvm;
        await MdevsLock.LockAsync(task);
        return new UpdateLocks(this, task, kvmLock);
    }

    private async ValueTask<UpdateLocks> ProveAfterAsync(ValueTask mdevs, KernelTask task, KernelMutex? kvmLock)
    {
        await mdevs;
        return new UpdateLocks(this, task, kvmLock);
    }
}

using System.Runtime.CompilerServices;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Mdev;
using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Queues;

namespace Apvirt.VfioAp.Mdev;

/// <summary>
/// A vfio_ap mediated device: what user space assigned (the matrix) and what the guest has or would have (the shadow).
/// See <see cref="MatrixDevice"/> for the locks and <see cref="VfioApGuards"/> for what they guard.
/// </summary>
/// <remarks>Public properties are for observers and are not checked; the driver itself reads with its task or a proof.</remarks>
public sealed partial class MatrixMdev : MdevDevice
{
    private Guarded<MatrixMasks> _matrix;
    private Guarded<MatrixMasks> _shadow;
    private Guarded<VirtualMachine?> _kvm;
    private Guarded<MatrixMasks> _additions;
    private Guarded<Eventfd?> _requestTrigger;

    // Per adapter the domains whose queue is linked: bound and assigned. Made at the first link.
    private Guarded<ApMask[]?> _linked;

    // Queues with a stale pointer to this device (quirk StaleQueueLink).
    private Guarded<int> _staleQueues;
    private Shared<int> _maxAdapter;
    private Shared<int> _maxDomain;
    private Shared<VfioDevice?> _vfio;

    internal MatrixMdev(MdevType type, Guid uuid, MatrixDevice owner) : base(type, uuid) => Owner = owner;

    /// <summary>The matrix device.</summary>
    public MatrixDevice Owner { get; }

    /// <summary>Highest adapter id that can be assigned; fixed when the device is made (I08).</summary>
    public int MaxAdapter => _maxAdapter.Read(Model.Runtime, this, VfioApFields.MaxAdapter);

    /// <summary>Highest domain id that can be assigned.</summary>
    public int MaxDomain => _maxDomain.Read(Model.Runtime, this, VfioApFields.MaxDomain);

    /// <summary>What user space assigned.</summary>
    public ref readonly MatrixMasks Matrix => ref _matrix.Glance(Model.Runtime, this, VfioApGuards.Matrix);

    /// <summary>What the guest has or would have.</summary>
    public ref readonly MatrixMasks Shadow => ref _shadow.Glance(Model.Runtime, this, VfioApGuards.Shadow);

    /// <summary>The attached VM, null if none.</summary>
    public VirtualMachine? Kvm => _kvm.Glance(Model.Runtime, this, VfioApGuards.Kvm);

    /// <summary>What a scan that is under way will add; empty outside scans.</summary>
    public ref readonly MatrixMasks Additions => ref _additions.Glance(Model.Runtime, this, VfioApGuards.Additions);

    /// <summary>The device as VFIO has it.</summary>
    public VfioDevice Vfio
    {
        get => _vfio.Read(Model.Runtime, this, VfioApFields.Vfio)!;
        internal set => _vfio.Write(Model.Runtime, this, VfioApFields.Vfio, value);
    }

    /// <summary>Whether the device is registered with VFIO: from its driver's probe on.</summary>
    public bool IsOffered => Vfio is not null;

    /// <summary>Domains of an adapter whose queue is linked.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    public ApMask LinkedDomains(int apid) => GlanceLinks() is { } linked ? linked[apid] : ApMask.None;

    /// <summary>Whether a queue is linked: bound to the driver and assigned here (M007).</summary>
    /// <param name="apqn">The queue.</param>
    public bool IsLinked(Apqn apqn) => GlanceLinks() is { } linked && linked[apqn.Apid][apqn.Apqi];

    /// <summary>Whether the guest has a queue: both of its bits are in the shadow (M002).</summary>
    /// <param name="apqn">The queue.</param>
    public bool IsPlugged(Apqn apqn) => Shadow.Contains(apqn);

    private ApMask[]? GlanceLinks() => _linked.Glance(Model.Runtime, this, VfioApGuards.Links);

    internal ref readonly MatrixMasks ReadMatrix(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) =>
        ref _matrix.Read(task, this, VfioApGuards.Matrix, file, line);

    internal ref readonly MatrixMasks ReadShadow(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) =>
        ref _shadow.Read(task, this, VfioApGuards.Shadow, file, line);

    internal VirtualMachine? ReadKvm(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) =>
        _kvm.Read(task, this, VfioApGuards.Kvm, file, line);

    internal ApMask ReadLinked(KernelTask task, int apid, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) =>
        _linked.Read(task, this, VfioApGuards.Links, file, line) is { } linked ? linked[apid] : ApMask.None;

    internal bool ReadIsLinked(KernelTask task, Apqn apqn) => ReadLinked(task, apqn.Apid)[apqn.Apqi];

    internal ref readonly MatrixMasks ReadAdditions(UpdateLocks locks) => ref _additions.Read(locks.Task, this, VfioApGuards.Additions);

    internal void SetAdditions(UpdateLocks locks, in MatrixMasks additions) =>
        _additions.Write(locks.Task, this, VfioApGuards.Additions, additions);

    /// <summary>Links a queue that is assigned here.</summary>
    internal void Link(UpdateLocks locks, VfioApQueue queue)
    {
        LeaveFormer(locks, queue);
        ref ApMask linked = ref Links(locks)[queue.Apqn.Apid];
        linked = linked.With(queue.Apqn.Apqi);
        queue.SetMdev(locks, this);
    }

    internal void Unlink(UpdateLocks locks, Apqn apqn)
    {
        ref ApMask linked = ref Links(locks)[apqn.Apid];
        linked = linked.Without(apqn.Apqi);
    }

    private ref MatrixMasks ChangeMatrix(UpdateLocks locks) => ref _matrix.Change(locks.Task, this, VfioApGuards.Matrix);

    private ref MatrixMasks ChangeShadow(UpdateLocks locks) => ref _shadow.Change(locks.Task, this, VfioApGuards.Shadow);

    private ApMask[] Links(UpdateLocks locks) => _linked.Change(locks.Task, this, VfioApGuards.Links) ??= new ApMask[ApMask.Size];

    /// <summary>Links every bound queue of an adapter in some of the domains.</summary>
    private void LinkAdapter(UpdateLocks locks, int apid, in ApMask domains)
    {
        if (Owner.ReadRow(locks.Task, apid) is not { } row)
            return;
        ApMask found = row.ReadBound(locks.Task) & domains & ~ReadLinked(locks.Task, apid);
        if (found.IsEmpty)
            return;
        foreach (int apqi in found)
        {
            VfioApQueue queue = row.ReadQueue(locks.Task, apqi)!;
            LeaveFormer(locks, queue);
            queue.PointTo(locks, this);
        }
        row.SetPointing(locks, found, points: true);
        Links(locks)[apid] |= found;
    }

    // A queue that is not linked anywhere and yet has a pointer is a stale one of its former mdev.
    private static void LeaveFormer(UpdateLocks locks, VfioApQueue queue)
    {
        if (queue.ReadMdev(locks.Task) is { } former && !former.ReadIsLinked(locks.Task, queue.Apqn))
            former.CountStale(locks, -1);
    }

    internal int ReadStaleQueues(KernelTask task) => _staleQueues.Read(task, this, VfioApGuards.StaleQueues);

    /// <summary>More queues have a stale pointer to this device, or fewer.</summary>
    internal void CountStale(UpdateLocks locks, int more) => _staleQueues.Change(locks.Task, this, VfioApGuards.StaleQueues) += more;

    /// <summary>Writes the shadow into the guest's control block, if there is a guest.</summary>
    private void UpdateGuest(KernelTask task)
    {
        if (ReadKvm(task) is not { } machine)
            return;
        ref readonly MatrixMasks shadow = ref ReadShadow(task);
        machine.SetMasks(task, shadow.Apm, shadow.Aqm, shadow.Adm);
    }

    /// <summary>Collects every linked queue for a reset.</summary>
    private void CollectLinked(MdevsHeld mdevs)
    {
        Owner.Resets.Begin(mdevs);
        if (_linked.Read(mdevs.Task, this, VfioApGuards.Links) is not { } linked)
            return;
        foreach (int apid in Owner.ReadKnownAdapters(mdevs.Task))
        {
            if (!linked[apid].IsEmpty)
                Owner.Resets.Add(mdevs, Owner.ReadRow(mdevs.Task, apid)!, linked[apid]);
        }
    }
}

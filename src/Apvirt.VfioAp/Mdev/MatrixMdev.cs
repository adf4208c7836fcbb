using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Mdev;
using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Queues;

namespace Apvirt.VfioAp.Mdev;

/// <summary>
/// A vfio_ap mediated device: what user space assigned (the matrix) and what the guest has or would have (the shadow).
/// See <see cref="MatrixDevice"/> for the locks.
/// </summary>
public sealed partial class MatrixMdev : MdevDevice
{
    // Per adapter the domains whose queue is linked: bound and assigned. Made at the first link. Under mdevs_lock.
    private ApMask[]? _linked;
    private MatrixMasks _matrix;
    private MatrixMasks _shadow;

    internal MatrixMdev(MdevType type, Guid uuid, MatrixDevice owner) : base(type, uuid)
    {
        Owner = owner;
        MaxAdapter = owner.MaxAdapter;
        MaxDomain = owner.MaxDomain;
    }

    /// <summary>The matrix device.</summary>
    public MatrixDevice Owner { get; }

    /// <summary>Highest adapter id that can be assigned; fixed when the device is made (I08).</summary>
    public int MaxAdapter { get; }

    /// <summary>Highest domain id that can be assigned.</summary>
    public int MaxDomain { get; }

    /// <summary>What user space assigned. Read under guests_lock or mdevs_lock.</summary>
    public ref readonly MatrixMasks Matrix => ref _matrix;

    /// <summary>What the guest has or would have. Read under mdevs_lock.</summary>
    public ref readonly MatrixMasks Shadow => ref _shadow;

    /// <summary>The attached VM, null if none. Read under guests_lock or mdevs_lock (M053).</summary>
    public VirtualMachine? Kvm { get; private set; }

    /// <summary>The device as VFIO has it.</summary>
    public VfioDevice Vfio { get; internal set; } = null!;

    /// <summary>Whether the device is registered with VFIO: from its driver's probe on.</summary>
    public bool IsOffered => Vfio is not null;

    // What a scan that is under way will add; empty outside scans. Under guests_lock and mdevs_lock.
    internal MatrixMasks Additions { get; set; }

    // Number of queues with a stale pointer to this device (quirk StaleQueueLink). Under mdevs_lock.
    internal int StaleQueues { get; set; }

    /// <summary>Domains of an adapter whose queue is linked. Read under mdevs_lock.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    public ApMask LinkedDomains(int apid) => _linked is null ? ApMask.None : _linked[apid];

    /// <summary>Whether a queue is linked: bound to the driver and assigned here (M007). Read under mdevs_lock.</summary>
    /// <param name="apqn">The queue.</param>
    public bool IsLinked(Apqn apqn) => _linked is not null && _linked[apqn.Apid][apqn.Apqi];

    /// <summary>Whether the guest has a queue: both of its bits are in the shadow (M002). Read under mdevs_lock.</summary>
    /// <param name="apqn">The queue.</param>
    public bool IsPlugged(Apqn apqn) => _shadow.Contains(apqn);

    /// <summary>Links a queue that is assigned here.</summary>
    internal void Link(VfioApQueue queue)
    {
        if (queue.Mdev is { } former && !former.IsLinked(queue.Apqn))
            former.StaleQueues--;
        _linked ??= new ApMask[ApMask.Size];
        ref ApMask linked = ref _linked[queue.Apqn.Apid];
        linked = linked.With(queue.Apqn.Apqi);
        queue.Mdev = this;
    }

    internal void Unlink(Apqn apqn)
    {
        if (_linked is null)
            return;
        ref ApMask linked = ref _linked[apqn.Apid];
        linked = linked.Without(apqn.Apqi);
    }

    /// <summary>Links every bound queue of an adapter in some of the domains.</summary>
    private void LinkAdapter(int apid, in ApMask domains)
    {
        if (Owner.Row(apid) is not { } row)
            return;
        ApMask found = row.Bound & domains & ~LinkedDomains(apid);
        if (found.IsEmpty)
            return;
        _linked ??= new ApMask[ApMask.Size];
        foreach (int apqi in found)
        {
            VfioApQueue queue = row[apqi]!;
            if (queue.Mdev is { } former)
                former.StaleQueues--;
            queue.Mdev = this;
        }
        _linked[apid] |= found;
    }

    /// <summary>Writes the shadow into the guest's control block, if there is a guest.</summary>
    private void UpdateGuest(KernelTask task) => Kvm?.SetMasks(task, _shadow.Apm, _shadow.Aqm, _shadow.Adm);

    /// <summary>Collects every linked queue for a reset.</summary>
    private void CollectLinked()
    {
        Owner.Resets.Begin();
        if (_linked is null)
            return;
        for (int apid = 0; apid < ApMask.Size; apid++)
        {
            if (!_linked[apid].IsEmpty)
                Owner.Resets.Add(Owner.Row(apid)!, _linked[apid]);
        }
    }

    private bool TryFindLinked(Apqn apqn, out VfioApQueue? queue)
    {
        queue = IsLinked(apqn) ? Owner.Queue(apqn) : null;
        return queue is not null;
    }
}

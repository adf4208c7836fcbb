using System.Globalization;
using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioAp.Matrix;

namespace Apvirt.VfioAp.Queues;

/// <summary>
/// The queues of one adapter that the driver has, as masks over domains: so that filtering and linking cost a few words
/// for an adapter, not a step for each queue (DESIGN.md "The driver is data-parallel").
/// </summary>
/// <remarks>Public properties are for observers and are not checked; the driver itself reads with its task or a proof.</remarks>
public sealed class QueueRow
{
    private readonly string _name;
    private Guarded<VfioApQueue?[]> _queues;
    private Guarded<ApMask> _bound;
    private Guarded<ApMask> _passable;
    private Guarded<ApMask> _pointing;

    internal QueueRow(MatrixDevice matrix, int apid, int maxDomain)
    {
        Matrix = matrix;
        _name = string.Create(CultureInfo.InvariantCulture, $"queues of adapter {apid:x2}");
        _queues = new(new VfioApQueue?[maxDomain + 1]);
    }

    internal MatrixDevice Matrix { get; }

    /// <summary>Domains whose queue is bound to the driver.</summary>
    public ref readonly ApMask Bound => ref _bound.Glance(Runtime, this, VfioApGuards.Queues);

    /// <summary>Domains whose queue is bound and did not end its last reset badly.</summary>
    public ref readonly ApMask Passable => ref _passable.Glance(Runtime, this, VfioApGuards.Passable);

    /// <summary>Domains whose queue is bound and points to an mdev.</summary>
    public ref readonly ApMask Pointing => ref _pointing.Glance(Runtime, this, VfioApGuards.Queues);

    /// <summary>The queue of a domain, null if the driver has not got it.</summary>
    /// <param name="apqi">Domain, 0 to 255.</param>
    public VfioApQueue? this[int apqi] => Of(_queues.Glance(Runtime, this, VfioApGuards.Queues), apqi);

    private KernelRuntime Runtime => Matrix.Model.Runtime;

    /// <inheritdoc/>
    public override string ToString() => _name;

    internal ref readonly ApMask ReadBound(KernelTask task) => ref _bound.Read(task, this, VfioApGuards.Queues);

    internal ref readonly ApMask ReadPassable(KernelTask task) => ref _passable.Read(task, this, VfioApGuards.Passable);

    /// <summary>The queue of a domain, null if the driver has not got it. Under guests_lock or mdevs_lock.</summary>
    internal VfioApQueue? ReadQueue(KernelTask task, int apqi) => Of(_queues.Read(task, this, VfioApGuards.Queues), apqi);

    /// <summary>The queues of some domains, all of which the driver has. Under guests_lock or mdevs_lock.</summary>
    internal void ReadQueues(KernelTask task, in ApMask domains, Span<VfioApQueue> into)
    {
        VfioApQueue?[] queues = _queues.Read(task, this, VfioApGuards.Queues);
        int i = 0;
        foreach (int apqi in domains)
            into[i++] = queues[apqi]!;
    }

    internal void Add(UpdateLocks locks, VfioApQueue queue)
    {
        int apqi = queue.Apqn.Apqi;
        _queues.Change(locks.Task, this, VfioApGuards.Queues)[apqi] = queue;
        Set(ref _bound.Change(locks.Task, this, VfioApGuards.Queues), apqi, true);
        Set(ref _passable.Change(locks.Task, this, VfioApGuards.Passable), apqi, true);
    }

    internal void Remove(UpdateLocks locks, VfioApQueue queue)
    {
        int apqi = queue.Apqn.Apqi;
        _queues.Change(locks.Task, this, VfioApGuards.Queues)[apqi] = null;
        Set(ref _bound.Change(locks.Task, this, VfioApGuards.Queues), apqi, false);
        Set(ref _passable.Change(locks.Task, this, VfioApGuards.Passable), apqi, false);
        Set(ref _pointing.Change(locks.Task, this, VfioApGuards.Queues), apqi, false);
    }

    /// <summary>Says that queues point to an mdev, or do so no longer.</summary>
    internal void SetPointing(UpdateLocks locks, in ApMask domains, bool points)
    {
        ref ApMask pointing = ref _pointing.Change(locks.Task, this, VfioApGuards.Queues);
        pointing = points ? pointing | domains : pointing & ~domains;
    }

    internal void SetPassable(KernelTask task, int apqi, bool passable) => Set(ref _passable.Change(task, this, VfioApGuards.Passable), apqi, passable);

    private static VfioApQueue? Of(VfioApQueue?[] queues, int apqi) => apqi < queues.Length ? queues[apqi] : null;

    private static void Set(ref ApMask mask, int apqi, bool isIn) => mask = isIn ? mask.With(apqi) : mask.Without(apqi);
}

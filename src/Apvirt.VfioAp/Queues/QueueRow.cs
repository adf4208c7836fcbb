using Apvirt.Ap.Architecture;
using Apvirt.VfioAp.Matrix;

namespace Apvirt.VfioAp.Queues;

/// <summary>
/// The queues of one adapter that the driver has, as masks over domains: so that filtering and linking cost a few words
/// for an adapter, not a step for each queue (DESIGN.md "The driver is data-parallel").
/// </summary>
public sealed class QueueRow
{
    private readonly VfioApQueue?[] _queues;
    private ApMask _bound;
    private ApMask _passable;
    private ApMask _pointing;

    internal QueueRow(MatrixDevice matrix, int maxDomain)
    {
        Matrix = matrix;
        _queues = new VfioApQueue?[maxDomain + 1];
    }

    internal MatrixDevice Matrix { get; }

    /// <summary>Domains whose queue is bound to the driver.</summary>
    public ref readonly ApMask Bound => ref _bound;

    /// <summary>Domains whose queue is bound and did not end its last reset badly.</summary>
    public ref readonly ApMask Passable => ref _passable;

    /// <summary>Domains whose queue is bound and points to an mdev.</summary>
    public ref readonly ApMask Pointing => ref _pointing;

    /// <summary>The queue of a domain, null if the driver has not got it.</summary>
    /// <param name="apqi">Domain, 0 to 255.</param>
    public VfioApQueue? this[int apqi] => apqi < _queues.Length ? _queues[apqi] : null;

    internal void Add(VfioApQueue queue)
    {
        int apqi = queue.Apqn.Apqi;
        _queues[apqi] = queue;
        _bound = _bound.With(apqi);
        _passable = _passable.With(apqi);
    }

    internal void Remove(VfioApQueue queue)
    {
        int apqi = queue.Apqn.Apqi;
        _queues[apqi] = null;
        _bound = _bound.Without(apqi);
        _passable = _passable.Without(apqi);
        _pointing = _pointing.Without(apqi);
    }

    internal void SetPointing(int apqi, bool points) => _pointing = points ? _pointing.With(apqi) : _pointing.Without(apqi);

    internal void SetPassable(int apqi, bool passable) =>
        _passable = passable ? _passable.With(apqi) : _passable.Without(apqi);
}

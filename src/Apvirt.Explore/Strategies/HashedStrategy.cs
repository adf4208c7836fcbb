using System.Numerics;
using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Strategies;

/// <summary>
/// Every state once, as far as what led to it tells: depth first over all choices, cut where a prefix of the same key was seen
/// before. It knows nothing of races, initials or sleep, and so is a check of the reduced search.
/// </summary>
/// <remarks>
/// It is sound if equal keys imply the same state: then each state that can be reached is expanded, by induction on the
/// length of the shortest way to it, and with it each end. A key is one chain of hashes for each task; a step adds what it
/// does and the hashes of what was done before it to the same object and does not commute with it (<see cref="KeyChains"/>).
/// That nothing is missing there is what the audit looks at: beside each key stands a fingerprint of the state, and two that
/// differ under one key are told with the two schedules that lead there.
/// </remarks>
/// <param name="frontier">What is left, and the keys that were seen.</param>
/// <param name="program">What is explored.</param>
/// <param name="execution">The present execution.</param>
/// <param name="options">How to search.</param>
internal sealed class HashedStrategy(HashedFrontier frontier, IExplored program, Execution execution, ExploreOptions options) : IStrategy
{
    private readonly KeyChains _chains = new(program.TaskCount, options.HoleInKeys);

    // What was chosen nowhere yet: nearest last; and that of the present execution, nearest last too, but from its start.
    private readonly Stack<byte[]> _left = new();
    private readonly List<byte[]> _found = [];

    // Of the present execution: how it begins, and its key.
    private byte[] _prefix = [];
    private UInt128 _key;

    /// <inheritdoc/>
    public bool IsCut => false;

    /// <inheritdoc/>
    public (long Choices, double Weight) Left => (_left.Count, 0);

    /// <inheritdoc/>
    public int Repeated => execution.Depth < _prefix.Length ? _prefix[execution.Depth] : -1;

    /// <inheritdoc/>
    public bool Take(long executionsMax)
    {
        if (!frontier.TryTake(out byte[] prefix))
            return false;
        _left.Push(prefix);
        return true;
    }

    /// <inheritdoc/>
    public void GiveBack()
    {
        frontier.GiveBack(_left);
        _left.Clear();
    }

    /// <inheritdoc/>
    public bool Begin()
    {
        if (!_left.TryPop(out byte[]? prefix))
            return false;
        _prefix = prefix;
        _chains.Restart();
        _key = _chains.Key;
        return true;
    }

    /// <inheritdoc/>
    public int Choose(ulong enabled)
    {
        // The state before all is expanded like any other.
        if (execution.Depth == 0 && !Expand(_key))
            return -1;
        for (ulong rest = enabled & (enabled - 1); rest != 0; rest &= rest - 1)
            _found.Add(PrefixWith((byte)BitOperations.TrailingZeroCount(rest)));
        return BitOperations.TrailingZeroCount(enabled);
    }

    /// <inheritdoc/>
    public bool Did()
    {
        int depth = execution.Depth - 1;
        _chains.Add(execution.TaskAt(depth), execution.StepAt(depth), program.Released, program.Accessed, program.WokenByTime);
        UInt128 parent = _key;
        _key = _chains.Key;
        return execution.Depth < _prefix.Length || Expand(parent);
    }

    /// <inheritdoc/>
    public void Ended()
    {
        foreach (byte[] found in _found)
            _left.Push(found);
        _found.Clear();
    }

    private bool Expand(UInt128 parent) => frontier.Add(_key, parent, options.Audits ? program.Fingerprint : 0, execution);

    private byte[] PrefixWith(byte task)
    {
        byte[] prefix = new byte[execution.Depth + 1];
        for (int depth = 0; depth < execution.Depth; depth++)
            prefix[depth] = (byte)execution.TaskAt(depth);
        prefix[^1] = task;
        return prefix;
    }
}

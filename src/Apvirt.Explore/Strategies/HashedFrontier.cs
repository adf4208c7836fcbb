using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Strategies;

/// <summary>The prefixes that were found and not gone on from, and the keys that were seen.</summary>
/// <param name="options">How to search.</param>
internal sealed class HashedFrontier(ExploreOptions options) : Frontier
{
    private readonly record struct Node(UInt128 Parent, ulong Fingerprint, byte Task);

    private readonly Dictionary<UInt128, Node> _known = [];
    private readonly List<byte[]> _left = [[]];
    private string? _hole;

    /// <inheritdoc/>
    internal override (long Choices, double Weight) Left => (_left.Count, 0);

    /// <inheritdoc/>
    internal override long States => _known.Count;

    /// <inheritdoc/>
    internal override string? Hole => _hole;

    /// <inheritdoc/>
    internal override IStrategy Join(IExplored program, Execution execution) => new HashedStrategy(this, program, execution, options);

    /// <summary>Takes the prefix that was found last. Under the gate.</summary>
    internal bool TryTake(out byte[] prefix)
    {
        prefix = _left.Count > 0 ? _left[^1] : [];
        if (_left.Count == 0)
            return false;
        _left.RemoveAt(_left.Count - 1);
        return true;
    }

    /// <summary>Gives prefixes back, the nearest first. Under the gate.</summary>
    internal void GiveBack(IEnumerable<byte[]> prefixes) => _left.AddRange(prefixes.Reverse());

    /// <summary>Stores a key.</summary>
    /// <param name="key">The key.</param>
    /// <param name="parent">The key of one step before.</param>
    /// <param name="fingerprint">What can be told of the state without knowing what led to it.</param>
    /// <param name="execution">The schedule that led to it; without steps for the state before all.</param>
    /// <returns>False if it was known: what follows from it is somebody else's.</returns>
    internal bool Add(UInt128 key, UInt128 parent, ulong fingerprint, Execution execution)
    {
        byte task = execution.Depth == 0 ? byte.MaxValue : (byte)execution.TaskAt(execution.Depth - 1);
        lock (Gate)
        {
            if (_known.TryAdd(key, new Node(parent, fingerprint, task)))
                return true;
            if (_known[key].Fingerprint != fingerprint)
                _hole ??= Describe(key, execution);
            return false;
        }
    }

    // Both ways to a key, from the start.
    private string Describe(UInt128 key, Execution other)
    {
        List<byte> first = [];
        for (Node at = _known[key]; first.Count <= options.DepthMax && at.Task != byte.MaxValue; at = _known[at.Parent])
            first.Add(at.Task);
        first.Reverse();
        return $"{string.Join(' ', first)} | {string.Join(' ', other.Tasks.ToArray())}";
    }
}

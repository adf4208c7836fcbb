namespace Apvirt.Kernel.Checking;

/// <summary>A known defect that code has on purpose, as far as checks need to know it. Immutable.</summary>
/// <param name="Finding">Number of the finding that describes it.</param>
/// <param name="Lasting">Rules that it may leave broken, so that whoever comes later on the same machine shows it.</param>
/// <param name="AtOnce">Rules that only the task that deviates breaks, in the operation in which it does.</param>
public sealed record Deviation(string Finding, IReadOnlyList<string> Lasting, IReadOnlyList<string> AtOnce);

/// <summary>The deviations that were taken on one machine, each once. They end with its runtime.</summary>
internal sealed class DeviationLog
{
    // Guards the list; a leaf.
    private readonly Lock _gate = new();
    private readonly List<Deviation> _taken = [];

    internal void Take(Deviation deviation)
    {
        lock (_gate)
        {
            if (_taken.Count > 0 && ReferenceEquals(_taken[^1], deviation))
                return;
            _taken.Remove(deviation);
            _taken.Add(deviation);
        }
    }

    /// <summary>The finding that predicts that a rule is broken, whoever shows it: of several the one taken last. Null if none does.</summary>
    internal string? FindingOf(string rule)
    {
        lock (_gate)
            return _taken.FindLast(deviation => deviation.Lasting.Contains(rule))?.Finding;
    }
}

using Apvirt.Kernel.Checking;

namespace Apvirt.Kernel.Tasks;

/// <summary>Which known defects a task has shown in its present operation.</summary>
public sealed partial class KernelTask
{
    // Null until the task deviates for the first time; hardly any does.
    private List<Deviation>? _deviations;
    private bool _hasReturned;

    internal void Deviates(Deviation deviation)
    {
        Acts();
        _deviations ??= [];
        _deviations.Remove(deviation);
        _deviations.Add(deviation);
    }

    /// <summary>The finding that predicts that the task breaks a rule in its present operation: of several the one taken last. Null if none does.</summary>
    internal string? FindingOf(string rule) => _deviations?.FindLast(deviation => deviation.AtOnce.Contains(rule))?.Finding;

    /// <summary>
    /// The task does something. After a return that begins its next operation; until then whoever looks at what the last one
    /// has left still speaks of that one.
    /// </summary>
    internal void Acts()
    {
        if (!_hasReturned)
            return;
        _hasReturned = false;
        _deviations?.Clear();
    }

    /// <summary>The present operation has ended.</summary>
    internal void Returns() => _hasReturned = true;
}

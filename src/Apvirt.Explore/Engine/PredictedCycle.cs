using Apvirt.Kernel.Validation;

namespace Apvirt.Explore.Engine;

/// <summary>What became of a cycle of lock classes that the validator predicts to deadlock.</summary>
public enum CycleFate
{
    /// <summary>An execution deadlocks in it.</summary>
    Confirmed,
    /// <summary>All executions were seen, and none does: something else keeps the tasks apart, as a lock around all of them.</summary>
    NotFeasibleHere,
    /// <summary>None was seen to, but not all executions were seen.</summary>
    Unconfirmed,
}

/// <summary>A cycle of lock classes that the validator predicts to deadlock.</summary>
/// <param name="Classes">The classes in the order of the cycle.</param>
/// <param name="Fate">What became of it.</param>
public sealed record PredictedCycle(IReadOnlyList<string> Classes, CycleFate Fate)
{
    /// <summary>What became of the cycle of a report.</summary>
    /// <param name="report">The report; null if it is not about locks.</param>
    /// <param name="circles">Classes of the locks that tasks were seen to wait for in a circle, each in alphabetical order.</param>
    /// <param name="verdict">How far the exploration came.</param>
    /// <returns>Null if the report predicts no cycle.</returns>
    public static PredictedCycle? Of(LockReport? report, IReadOnlyCollection<string[]> circles, Verdict verdict)
    {
        if (report is not { Cycle: { Count: > 0 } classes })
            return null;
        string[] sorted = [.. classes.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        CycleFate fate = circles.Any(circle => circle.SequenceEqual(sorted, StringComparer.Ordinal)) ? CycleFate.Confirmed
            : verdict == Verdict.BoundReached ? CycleFate.Unconfirmed
            : CycleFate.NotFeasibleHere;
        return new PredictedCycle(classes, fate);
    }

    /// <summary>In the words of a report.</summary>
    public override string ToString() =>
        string.Join(" -> ", Classes.Append(Classes[0])) + " " + Fate switch
        {
            CycleFate.Confirmed => "confirmed",
            CycleFate.NotFeasibleHere => "not feasible here",
            _ => "unconfirmed",
        };
}

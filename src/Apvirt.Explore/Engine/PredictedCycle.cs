using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
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

/// <summary>Who waits for whom at the end of an execution.</summary>
public static class WaitCycles
{
    /// <summary>The classes of the locks that tasks wait for in a circle, each circle in alphabetical order.</summary>
    /// <param name="tasks">The tasks that have not ended.</param>
    public static IEnumerable<string[]> Find(IReadOnlyList<SteppedTask> tasks)
    {
        foreach (SteppedTask start in tasks)
        {
            List<SteppedTask> path = [];
            for (SteppedTask? at = start; at is not null && !path.Contains(at); at = HolderOf(at.Target, tasks))
            {
                path.Add(at);
                // Each circle is found once: from its first task.
                if (HolderOf(at.Target, tasks) == start && path.TrueForAll(task => task.Index >= start.Index))
                    yield return [.. path.Select(task => ((KernelLock)task.Target!).Class.Name).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
            }
        }
    }

    /// <summary>Says who holds what and waits for what.</summary>
    /// <param name="tasks">The tasks that have not ended.</param>
    public static string Describe(IEnumerable<SteppedTask> tasks) =>
        string.Join("; ", tasks.Select(task => $"{task.Task.Name} holds {(task.Task.Held.IsEmpty ? "nothing" : string.Join(", ", task.Task.Held.ToArray()))} and waits for {TargetOf(task)}"));

    /// <summary>What a task that has not ended waits for.</summary>
    /// <param name="task">The task.</param>
    public static string TargetOf(SteppedTask task) => (task.Target as KernelLock)?.Class.Name ?? "a wake-up";

    // Of several readers one is enough: a task that waits for readers waits for each of them.
    private static SteppedTask? HolderOf(object? target, IReadOnlyList<SteppedTask> tasks)
    {
        foreach (SteppedTask task in tasks)
        {
            foreach (HeldLock held in task.Task.Held)
            {
                if (ReferenceEquals(held.Lock, target))
                    return task;
            }
        }
        return null;
    }
}

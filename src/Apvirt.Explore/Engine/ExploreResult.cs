namespace Apvirt.Explore.Engine;

/// <summary>How far an exploration came.</summary>
public enum Verdict
{
    /// <summary>Every trace was seen.</summary>
    Exhausted,
    /// <summary>It ended at a limit of executions, time, depth or preemptions, or drew its schedules; more may be to be seen.</summary>
    BoundReached,
    /// <summary>It ended at a violation, or something was violated in what was seen.</summary>
    Violation,
}

/// <summary>What an exploration found.</summary>
/// <param name="Verdict">How far it came.</param>
/// <param name="Executions">Complete executions: as many as traces if exhausted and reduced.</param>
/// <param name="Deadlocks">How many of them ended with tasks that wait for ever.</param>
/// <param name="Blocked">Executions that were given up because they would only repeat others, or were too long.</param>
/// <param name="DepthReached">Steps of the longest execution.</param>
/// <param name="FirstDeadlock">Tasks in the order of their steps up to the first deadlock; null if there was none.</param>
public sealed record ExploreResult(Verdict Verdict, long Executions, long Deadlocks, long Blocked, int DepthReached, IReadOnlyList<int>? FirstDeadlock)
{
    /// <summary>How many different keys there were, for a search by keys; 0 for others.</summary>
    public long States { get; init; }

    /// <summary>What the audit of keys found: two schedules with one key and different states; null if nothing.</summary>
    public string? Hole { get; init; }

    /// <summary>Nothing found yet.</summary>
    internal static ExploreResult None { get; } = new(Verdict.BoundReached, 0, 0, 0, 0, null);

    /// <summary>What was found since then.</summary>
    internal ExploreResult Since(ExploreResult before) =>
        this with { Executions = Executions - before.Executions, Deadlocks = Deadlocks - before.Deadlocks, Blocked = Blocked - before.Blocked };

    /// <summary>What two have found together; the verdict is this one's.</summary>
    internal ExploreResult With(ExploreResult other) => this with
    {
        Executions = Executions + other.Executions,
        Deadlocks = Deadlocks + other.Deadlocks,
        Blocked = Blocked + other.Blocked,
        DepthReached = Math.Max(DepthReached, other.DepthReached),
        FirstDeadlock = FirstDeadlock ?? other.FirstDeadlock,
    };
}

/// <summary>How far an exploration has come while it runs.</summary>
/// <param name="Executions">Complete executions.</param>
/// <param name="Blocked">Executions given up.</param>
/// <param name="Frontier">Choices that are known and not made yet; 0 for strategies that draw.</param>
/// <param name="Depth">Steps of the longest execution.</param>
/// <param name="Estimate">How many executions there may be in all, by the shape of what was seen; null if there is no telling.</param>
public readonly record struct ExploreProgress(long Executions, long Blocked, long Frontier, int Depth, double? Estimate);

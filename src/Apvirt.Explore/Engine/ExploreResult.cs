namespace Apvirt.Explore.Engine;

/// <summary>How far an exploration came.</summary>
public enum Verdict
{
    /// <summary>Every trace was seen.</summary>
    Exhausted,
    /// <summary>It ended at a limit of executions, time or depth; more may be to be seen.</summary>
    BoundReached,
    /// <summary>It ended at the first violation, as it was asked to.</summary>
    Violation,
}

/// <summary>How to search.</summary>
public enum Strategy
{
    /// <summary>One execution for each trace: source sets and sleep sets.</summary>
    Reduced,
    /// <summary>Every interleaving; the oracle for the other one.</summary>
    Naive,
}

/// <summary>How and how far to search.</summary>
public sealed record ExploreOptions
{
    /// <summary>How to search.</summary>
    public Strategy Strategy { get; init; }

    /// <summary>The most executions.</summary>
    public long ExecutionsMax { get; init; } = long.MaxValue;

    /// <summary>The most steps of one execution.</summary>
    public int DepthMax { get; init; } = 10_000;

    /// <summary>Whether to end at the first deadlock.</summary>
    public bool StopsAtDeadlock { get; init; }
}

/// <summary>What an exploration found.</summary>
/// <param name="Verdict">How far it came.</param>
/// <param name="Executions">Complete executions: as many as traces if exhausted and reduced.</param>
/// <param name="Deadlocks">How many of them ended with tasks that wait for ever.</param>
/// <param name="Blocked">Executions that were given up because they would only repeat others.</param>
/// <param name="DepthReached">Steps of the longest execution.</param>
/// <param name="FirstDeadlock">Tasks in the order of their steps up to the first deadlock; null if there was none.</param>
public sealed record ExploreResult(Verdict Verdict, long Executions, long Deadlocks, long Blocked, int DepthReached, IReadOnlyList<int>? FirstDeadlock);

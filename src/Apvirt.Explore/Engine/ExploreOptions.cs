namespace Apvirt.Explore.Engine;

/// <summary>How to search.</summary>
public enum Strategy
{
    /// <summary>One execution for each trace: source sets and sleep sets.</summary>
    Reduced,
    /// <summary>Every state once, as far as what led to it tells: depth first, cut at prefixes whose key was seen before.</summary>
    Hashed,
    /// <summary>Every interleaving, or all with few preemptions; the oracle for the other one.</summary>
    Naive,
    /// <summary>Each step is drawn among the tasks that can step.</summary>
    Random,
    /// <summary>Tasks have drawn priorities, which change at a few drawn steps: finds what needs few switches soon.</summary>
    Priorities,
}

/// <summary>How and how far to search.</summary>
public sealed record ExploreOptions
{
    /// <summary>How to search.</summary>
    public Strategy Strategy { get; init; }

    /// <summary>The most executions, complete or given up.</summary>
    public long ExecutionsMax { get; init; } = long.MaxValue;

    /// <summary>The most time.</summary>
    public TimeSpan TimeMax { get; init; } = Timeout.InfiniteTimeSpan;

    /// <summary>The most steps of one execution.</summary>
    public int DepthMax { get; init; } = 10_000;

    /// <summary>For <see cref="Strategy.Naive"/>: the most switches away from a task that could have gone on.</summary>
    public int PreemptionsMax { get; init; } = int.MaxValue;

    /// <summary>For strategies that draw: execution n of one seed has nothing in common with those of any other.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>For <see cref="Strategy.Priorities"/>: how many times priorities change in an execution, from 0.</summary>
    public int PriorityChanges { get; init; } = 2;

    /// <summary>On how many threads, from 1. What is found is the same; in which order is so with one only.</summary>
    public int Jobs { get; init; } = 1;

    /// <summary>With several threads: executions that one does before it hands over what is left, from 1.</summary>
    public int Slice { get; init; } = 1000;

    /// <summary>
    /// For scenarios: whether points lie before releases and accesses too, to test that they need not (reference/runtime.md).
    /// Tasks then have threads, of which one runs; an execution takes several times as long, and there are more.
    /// </summary>
    public bool HasPointsEverywhere { get; init; }

    /// <summary>
    /// For scenarios: whether points are added before accesses that need them, until none is missing. Without, nothing is called
    /// exhausted if any is.
    /// </summary>
    public bool AddsPoints { get; init; } = true;

    /// <summary>For scenarios: whether callers that do the same are told apart, though it makes no difference which of them is which.</summary>
    public bool TellsApart { get; init; }

    /// <summary>For <see cref="Strategy.Hashed"/>: whether states are compared that one key stands for.</summary>
    public bool Audits { get; init; } = true;

    /// <summary>For <see cref="Strategy.Hashed"/>: a kind of step that keys leave out, to test that the audit speaks; null for none.</summary>
    public StepKind? HoleInKeys { get; init; }

    /// <summary>Whether to end at the first deadlock.</summary>
    public bool StopsAtDeadlock { get; init; }
}

using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;
using Apvirt.Explore.Searches;

namespace Apvirt.Explore.Tests.Engine;

/// <summary>The exact answers of EXPLORE.md.</summary>
public sealed class KnownProgramTests
{
    public static TheoryData<string> Names => [.. KnownPrograms.All.Select(p => p.Name)];

    private static KnownProgram Find(string name) => KnownPrograms.All.Single(p => p.Name == name);

    [Theory]
    [MemberData(nameof(Names))]
    public void Each_trace_is_executed_once(string name)
    {
        KnownProgram known = Find(name);
        ExploreResult result = Search.Run(new LockProgramRun(known.Program));
        Assert.Equal(Verdict.Exhausted, result.Verdict);
        Assert.Equal((known.Traces, known.Deadlocked), (result.Executions, result.Deadlocks));
        Assert.True(result.Blocked * 5 <= result.Executions, $"{result.Blocked} blocked of {result.Executions}");
    }

    public static TheoryData<string> Deadlocking => [.. KnownPrograms.All.Where(p => p.Deadlocked > 0).Select(p => p.Name)];

    [Theory]
    [MemberData(nameof(Deadlocking))]
    public void A_deadlock_is_found_within_ten_executions(string name)
    {
        KnownProgram known = Find(name);
        ExploreResult result = Search.Run(new LockProgramRun(known.Program), new ExploreOptions { StopsAtDeadlock = true });
        Assert.Equal(Verdict.Violation, result.Verdict);
        Assert.InRange(result.Executions + result.Blocked, 1, 10);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_naive_search_has_every_interleaving(string name)
    {
        KnownProgram known = Find(name);
        Assert.Equal(known.Interleavings, Search.Run(new LockProgramRun(known.Program), new ExploreOptions { Strategy = Strategy.Naive }).Executions);
        if (known.AllInterleavings < 1_000_000)
            Assert.Equal(known.AllInterleavings, Search.Run(new LockProgramRun(known.Program, pointsEverywhere: true), new ExploreOptions { Strategy = Strategy.Naive }).Executions);
    }
}

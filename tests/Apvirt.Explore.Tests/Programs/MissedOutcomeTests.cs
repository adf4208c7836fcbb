using Apvirt.Explore.Engine;
using Apvirt.Explore.Tests.Oracle;

namespace Apvirt.Explore.Tests.Programs;

/// <summary>
/// Programs that a search once called exhausted too early, with their numbers of outcomes and traces. The numbers of outcomes
/// are those that brute force written elsewhere has found; the traces are counted by the oracle of these tests, which takes
/// each instruction for a step.
/// </summary>
public sealed class MissedOutcomeTests
{
    private static readonly string[] FourTasks =
    [
        "write-lock s, lock b, unlock b, write-unlock s",
        "read-lock s, read-unlock s, store x 1",
        "lock b, unlock b, lock a, load x, read-lock s, wait e, read-unlock s, unlock a",
        "lock b, read-lock s, lock a, unlock a, read-unlock s, unlock b",
    ];

    [Theory]
    [InlineData(false, 13)]
    [InlineData(true, 21)]
    public void The_deadlock_of_four_tasks_is_found(bool hasQueues, int outcomes) => AssertFinds(Words(FourTasks), hasQueues, outcomes);

    // A release lets others in before what follows it, and two accesses are two steps.
    [Theory]
    [InlineData("L0 w2 U0 w3 ; L1 r3 U1 r2", 3)]
    [InlineData("L0 w2 w3 U0 ; L1 r3 r2 U1", 3)]
    public void What_follows_a_release_is_a_step(string program, int outcomes) => AssertFinds(Short(program), hasQueues: true, outcomes);

    // Two readers that stay, a short one, and a writer that sleeps.
    [Theory]
    [InlineData("L0 r2 U0 ; S0 V0 w2 ; C3 r2 S0 W1 V0 ; S0 W1 V0", 6)]
    [InlineData("L0 U0 ; L1 S0 V0 U1 ; L1 U1 S0 W2 V0 ; S0 W2 V0", 2)]
    [InlineData("L0 r3 U0 ; L1 S0 w3 V0 U1 ; L1 r3 U1 S0 W2 V0 ; S0 W2 V0", 6)]
    [InlineData("S5 V5 S0 W3 V0 ; S0 W3 V0 C3 ; L5 U5 S0 V0 ; L0 U0", 2)]
    public void A_writer_comes_before_readers_that_stay_and_after_those_that_went(string program, int outcomes) =>
        AssertFinds(Short(program), hasQueues: false, outcomes);

    // Each needs a rule of its own: readers that keep a writer out together, what waits for ever, acquisitions that are not the last.
    [Theory]
    [InlineData("S0 W1 V0 ; S0 W1 V0 ; L0 U0")]
    [InlineData("S0 L1 U1 V0 ; S0 V0 ; L0 U0")]
    [InlineData("L0 L1 U1 U0 ; L1 L0 U0 U1")]
    [InlineData("S0 L1 U1 V0 ; S1 L0 U0 V1 ; S1 L0 U0 V1")]
    public void Each_has_the_traces_of_all_interleavings(string program)
    {
        AssertFinds(Short(program), hasQueues: false, outcomes: null);
        AssertFinds(Short(program), hasQueues: true, outcomes: null);
    }

    // r1: R(a) L(b), r2: L(b) R(a), w: W(a). The writer that waits is what closes the circle (M122).
    [Fact]
    public void A_waiting_writer_closes_the_circle_of_two_readers()
    {
        string[] tasks = ["read-lock a, lock b, unlock b, read-unlock a", "lock b, read-lock a, read-unlock a, unlock b", "write-lock a, write-unlock a"];
        Assert.Contains(Found.Of(Found.Read(Words(tasks)), new ExploreOptions()).Outcomes, outcome => outcome == "T1@1[] T2@1[] T3@0[]");
        Assert.DoesNotContain(Found.Of(Found.Read(Words(tasks), hasQueues: false), new ExploreOptions()).Outcomes, outcome => outcome.Contains("T1@1", StringComparison.Ordinal));
        Assert.Contains(KernelProgram.Explore(Found.Read(Words(tasks)), new ExploreOptions()).Outcomes, outcome => outcome == "T1@1[] T2@1[] T3@0[]");
        Assert.Contains(Enumerable.Range(1, 3000), seed => KernelProgram.Simulate(Found.Read(Words(tasks)), (ulong)seed) == "T1@1[] T2@1[] T3@0[]");
        AssertFinds(Words(tasks), hasQueues: true, outcomes: null);
    }

    [Fact]
    public void A_try_to_share_fails_while_a_writer_waits() => Assert.Contains(
        Found.Of(Found.Read(Words(["read-lock s, wait e, read-unlock s", "write-lock s, write-unlock s", "try-read s skip 1, read-unlock s, complete e"])), new ExploreOptions()).Outcomes,
        outcome => outcome == "T1@3[] T2@2[] T3@3[0]");

    // M121: lost wake-ups, looks that decide, and who of two is served; on programs and on the kernel's own completions.
    [Theory]
    [InlineData("lock b, unlock b, wait c", "lock a, unlock a, complete-all c, lock a, unlock a, reset c", "T1@2[] T2@6[]")]
    [InlineData("wait c", "complete c, reset c", "T1@0[] T2@2[]")]
    [InlineData("wait c for 10ms skip 1, store x 1", "complete c", "T1@2[0] T2@1[]")]
    [InlineData("wait c for 10ms skip 1, store x 1", "complete c", "T1@2[1] T2@1[]")]
    public void Completions_and_time_are_explored(string waiter, string completer, string outcome)
    {
        Assert.Contains(Found.Of(Found.Read(Words([waiter, completer])), new ExploreOptions()).Outcomes, found => found == outcome);
        Assert.Contains(KernelProgram.Explore(Found.Read(Words([waiter, completer])), new ExploreOptions()).Outcomes, found => found == outcome);
        AssertFinds(Words([waiter, completer]), hasQueues: true, outcomes: null);
    }

    [Fact]
    public void One_permit_serves_either_of_two_waiters()
    {
        IReadOnlyList<string> outcomes = KernelProgram.Explore(Found.Read(Words(["wait e", "wait e", "complete e"])), new ExploreOptions()).Outcomes;
        Assert.Equal(["T1@0[] T2@1[] T3@1[]", "T1@1[] T2@0[] T3@1[]"], outcomes);
    }

    // The oracle's own short notation, as words: its text has a task between bars and its instructions between commas.
    private static IReadOnlyList<IReadOnlyList<string>> Short(string program) => Words(ShortForm.Parse(program).ToString()!.Split(" | "));

    private static IReadOnlyList<IReadOnlyList<string>> Words(IEnumerable<string> tasks) => [.. tasks.Select(task => task.Split(", "))];

    private static void AssertFinds(IReadOnlyList<IReadOnlyList<string>> words, bool hasQueues, int? outcomes)
    {
        OracleResult truth = BruteForce.Explore(OracleProgram.Parse(words), hasQueues);
        Assert.True(outcomes is null || truth.Outcomes.Count == outcomes);
        foreach (Strategy strategy in (Strategy[])[Strategy.Reduced, Strategy.Hashed, Strategy.Naive])
        {
            foreach (int jobs in (int[])[1, 3])
            {
                Found found = Found.Of(Found.Read(words, hasQueues), new ExploreOptions { Strategy = strategy, Jobs = jobs, Slice = jobs == 1 ? 1000 : 1 });
                Assert.Equal(Verdict.Exhausted, found.Result.Verdict);
                Assert.Equal(truth.Outcomes, found.Outcomes);
                if (strategy != Strategy.Naive)
                    Assert.Equal(truth.Traces, found.Result.Executions);
            }
        }
    }
}

namespace Apvirt.Explore.Tests.Oracle;

/// <summary>Programs whose outcomes and traces can be counted by hand.</summary>
public sealed class BruteForceTests
{
    private static OracleResult Explore(string text, bool queueing = true) => Checked(OracleProgram.Parse(text), queueing);

    private static OracleResult Checked(OracleProgram program, bool queueing)
    {
        OracleResult result = BruteForce.Explore(program, queueing);
        Assert.False(result.TooLarge);
        return result;
    }

    [Theory]
    [InlineData("lock m, unlock m | lock m, unlock m", "T1@2[] T2@2[]")]
    [InlineData("lock m | lock m", "T1@0[] T2@1[];T1@1[] T2@0[]")]
    [InlineData("lock m | try m skip 1, unlock m", "T1@1[] T2@2[0];T1@1[] T2@2[1]")]
    [InlineData("store x 5 | load x skip 1, store y 1", "T1@1[] T2@2[0];T1@1[] T2@2[5]")]
    [InlineData("complete e | wait e | wait e", "T1@1[] T2@0[] T3@1[];T1@1[] T2@1[] T3@0[]")]
    [InlineData("complete-all e | wait e | wait e", "T1@1[] T2@1[] T3@1[]")]
    [InlineData("complete e | wait e for 5ms", "T1@1[] T2@1[0];T1@1[] T2@1[1]")]
    [InlineData("complete-all e, complete e, reset e | wait e", "T1@3[] T2@0[];T1@3[] T2@1[]")]
    [InlineData("complete e, complete e | reset e, wait e", "T1@2[] T2@1[];T1@2[] T2@2[]")]
    public void Outcomes_are_all_there_are(string text, string outcomes)
    {
        string[] expected = [.. outcomes.Split(';').Order(StringComparer.Ordinal)];
        Assert.Equal(expected, Explore(text).Outcomes);
        Assert.Equal(expected, AllInterleavings.Explore(OracleProgram.Parse(text)).Outcomes);
    }

    [Theory]
    [InlineData("read-lock s, wait e, read-unlock s | write-lock s, write-unlock s | read-lock s, complete e, read-unlock s", true, "T1@1[] T2@0[] T3@0[];T1@3[] T2@2[] T3@3[]")]
    [InlineData("read-lock s, wait e, read-unlock s | write-lock s, write-unlock s | read-lock s, complete e, read-unlock s", false, "T1@3[] T2@2[] T3@3[]")]
    [InlineData("read-lock s | write-lock s | try-read s", true, "T1@0[] T2@1[] T3@1[0];T1@1[] T2@0[] T3@1[0];T1@1[] T2@0[] T3@1[1];T1@0[] T2@0[] T3@1[1]")]
    [InlineData("read-lock s | write-lock s | try-read s", false, "T1@0[] T2@1[] T3@1[0];T1@1[] T2@0[] T3@1[1]")]
    public void A_writer_that_waits_keeps_readers_out_where_it_queues(string text, bool queueing, string outcomes) =>
        Assert.Equal(outcomes.Split(';').Order(StringComparer.Ordinal), Explore(text, queueing).Outcomes);

    [Theory]
    [InlineData("lock a, store x 1, unlock a, store y 1 | lock b, load y, unlock b, load x", true, 3)]
    [InlineData(FourAndMemory, true, 21)]
    [InlineData(FourAndMemory, false, 13)]
    public void Outcomes_are_so_many(string text, bool queueing, int outcomes) => Assert.Equal(outcomes, Explore(text, queueing).Outcomes.Count);

    private const string FourAndMemory =
        "write-lock s2, lock m1, unlock m1, write-unlock s2 | read-lock s2, read-unlock s2, store x7 1 | " +
        "lock m1, unlock m1, lock m0, load x7, read-lock s2, wait e4, read-unlock s2, unlock m0 | " +
        "lock m1, read-lock s2, lock m0, unlock m0, read-unlock s2, unlock m1";

    [Theory]
    [InlineData("L0 r2 U0 ; S0 V0 w2 ; C3 r2 S0 W1 V0 ; S0 W1 V0", null, 6)]
    [InlineData("L0 U0 ; L1 S0 V0 U1 ; L1 U1 S0 W2 V0 ; S0 W2 V0", 6, 2)]
    [InlineData("L0 r3 U0 ; L1 S0 w3 V0 U1 ; L1 r3 U1 S0 W2 V0 ; S0 W2 V0", 6, 6)]
    [InlineData("S5 V5 S0 W3 V0 ; S0 W3 V0 C3 ; L5 U5 S0 V0 ; L0 U0", 6, 2)]
    public void Long_readers_block_writers(string text, int? traces, int outcomes)
    {
        OracleResult result = Checked(ShortForm.Parse(text), queueing: false);
        Assert.Equal(outcomes, result.Outcomes.Count);
        if (traces is { } expected)
            Assert.Equal(expected, result.Traces);
    }

    [Theory]
    [InlineData("lock a, lock b, unlock b, unlock a | lock b, lock a, unlock a, unlock b", 3)]
    [InlineData("lock vcpu, lock mdevs, unlock mdevs, unlock vcpu | lock kvm, lock vcpu, unlock vcpu, unlock kvm | lock guests, lock kvm, lock mdevs, unlock mdevs, unlock kvm, unlock guests", 6)]
    public void Nested_mutexes_have_known_traces(string text, int traces) => Assert.Equal(traces, Explore(text).Traces);

    [Theory]
    [InlineData(3, 7)]
    [InlineData(5, 31)]
    public void Dining_has_all_orders_of_each_fork_but_the_impossible(int philosophers, int traces)
    {
        OracleResult result = Checked(
            OracleProgram.Parse(Enumerable.Range(0, philosophers).Select(p => (string[])[
                $"lock f{p}", $"lock f{(p + 1) % philosophers}", $"unlock f{(p + 1) % philosophers}", $"unlock f{p}"])),
            queueing: true);
        Assert.Equal(traces, result.Traces);
        Assert.Equal(2, result.Outcomes.Count);
    }

    [Fact]
    public void A_reset_leaves_a_waiter_for_ever() =>
        Assert.Contains("T1@2[] T2@6[]", Explore("lock b, unlock b, wait c | lock a, unlock a, complete-all c, lock a, unlock a, reset c").Outcomes);

    [Fact]
    public void A_large_program_is_too_large()
    {
        OracleProgram program = OracleProgram.Parse(string.Join(" | ", Enumerable.Repeat("store x 1, store x 2, store x 3, store x 4, store x 5", 5)));
        OracleResult result = BruteForce.Explore(program, statesMax: 1000);
        Assert.True(result.TooLarge);
        Assert.True(AllInterleavings.Explore(program, executionsMax: 100).TooLarge);
    }
}

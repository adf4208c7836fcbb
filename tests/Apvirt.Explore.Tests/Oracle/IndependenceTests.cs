namespace Apvirt.Explore.Tests.Oracle;

/// <summary>The oracle is right about itself: independent steps commute, and three ways to count traces agree.</summary>
public sealed class IndependenceTests
{
    // Pairs at one object that are independent and both possible in some state; a pair that is missing was never seen so.
    private static readonly string[] SeenTogether =
    [
        "Ask Ask", "Ask Grant", "Ask ReadUnlock", "Ask WriteUnlock", "Complete Complete", "Complete CompleteAll",
        "CompleteAll CompleteAll", "Load Load", "ReadLock ReadLock", "ReadLock ReadUnlock", "ReadLock TryRead",
        "ReadUnlock ReadUnlock", "ReadUnlock TryRead", "Reset Reset", "TryRead TryRead",
    ];

    /// <summary>Random programs that are small and, beside those of the generator, full of one family.</summary>
    private static IEnumerable<(OracleProgram Program, bool Queueing)> Programs(int seed, int each)
    {
        Random random = new(seed);
        foreach (ProgramKind kind in Enum.GetValues<ProgramKind>())
        {
            for (int n = 0; n < each; n++)
                yield return (OracleProgram.Parse(ProgramGenerator.Make(random, kind)), random.Next(2) == 0);
        }
        string[][] families =
        [
            ["lock m,unlock m", "try m skip 1,unlock m"],
            ["write-lock s,write-unlock s", "read-lock s,read-unlock s", "try-read s skip 1,read-unlock s", "try-write s skip 1,write-unlock s"],
            ["write-lock s,write-unlock s", "read-lock s,read-unlock s", "try-read s skip 1,read-unlock s"],
            ["write-lock s,write-unlock s", "read-lock s,read-unlock s"],
            ["complete e", "complete-all e", "reset e", "wait e", "wait e for 1ms"],
            ["load x", "store x 1", "store x 2"],
        ];
        foreach (string[] family in families)
        {
            for (int n = 0; n < each; n++)
            {
                IEnumerable<string>[] tasks = [.. Enumerable.Range(0, random.Next(2, 4)).Select(_ =>
                    random.GetItems(family, random.Next(1, 3)).SelectMany(piece => piece.Split(',')).ToArray())];
                yield return (OracleProgram.Parse(tasks), random.Next(2) == 0);
            }
        }
    }

    [Fact]
    public void Independent_steps_do_the_same_in_either_order()
    {
        SortedSet<string> seen = new(StringComparer.Ordinal);
        Random random = new(7);
        foreach ((OracleProgram program, bool queueing) in Programs(1, 150))
        {
            for (int walk = 0; walk < 3; walk++)
            {
                List<int> schedule = [];
                while (Enabled(program, queueing, schedule) is { Count: > 0 } enabled)
                {
                    foreach (Step a in enabled)
                    {
                        foreach (Step b in enabled.Where(b => b.Task > a.Task && !AllInterleavings.Dependent(program, a, b)))
                        {
                            if (a.Object == b.Object)
                                seen.Add(string.Join(' ', new[] { a.Kind, b.Kind }.Order()));
                            AssertCommute(program, queueing, schedule, a, b);
                        }
                    }
                    schedule.Add(enabled[random.Next(enabled.Count)].Task);
                }
            }
        }
        Assert.Equal(SeenTogether, seen);
    }

    [Fact]
    public void Three_counts_agree_on_small_programs()
    {
        int compared = 0;
        foreach ((OracleProgram program, bool queueing) in Programs(2, 150))
        {
            OracleResult slow = AllInterleavings.Explore(program, queueing, executionsMax: 700);
            if (slow.TooLarge)
                continue;
            compared++;
            OracleResult fast = BruteForce.Explore(program, queueing);
            List<Execution> all = AllInterleavings.List(program, queueing, executionsMax: 700)!;
            string text = $"{program} queueing {queueing}";
            Assert.True(slow.Traces == fast.Traces, $"{slow.Traces} traces by clocks, {fast.Traces} by hashes: {text}");
            Assert.True(slow.Traces == AllInterleavings.TracesBySwaps(program, all), $"{slow.Traces} traces by clocks, another number by swaps: {text}");
            Assert.True(slow.Traces == all.DistinctBy(e => (AllInterleavings.Clocks(program, e), e.Outcome)).Count(), $"a trace has two outcomes: {text}");
            Assert.Equal(slow.Outcomes, fast.Outcomes);
        }
        Assert.True(compared > 600, $"only {compared} programs were small");
    }

    private static List<Step> Enabled(OracleProgram program, bool queueing, List<int> schedule)
    {
        OracleState state = OracleState.After(program, queueing, schedule);
        return [.. Enumerable.Range(0, program.Tasks.Length).Select(task => state.Next(task)).OfType<Step>()];
    }

    private static void AssertCommute(OracleProgram program, bool queueing, List<int> schedule, Step a, Step b)
    {
        string text = $"{a} and {b} after {string.Join(' ', schedule)} of {program}, queueing {queueing}";
        OracleState one = OracleState.After(program, queueing, schedule);
        OracleState other = OracleState.After(program, queueing, schedule);
        Assert.True(one.TryStep(a.Task) && one.Next(b.Task) == b && one.TryStep(b.Task), text);
        Assert.True(other.TryStep(b.Task) && other.Next(a.Task) == a && other.TryStep(a.Task), text);
        Assert.True(one.Text == other.Text, text);
    }
}

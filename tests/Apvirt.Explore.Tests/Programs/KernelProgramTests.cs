using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;
using Apvirt.Explore.Tests.Oracle;

namespace Apvirt.Explore.Tests.Programs;

/// <summary>
/// The same random programs on the kernel's own primitives: both searches have the traces and outcomes of brute force, and
/// simulation has no outcome that they lack (M121, M122).
/// </summary>
public sealed class KernelProgramTests
{
    private const int Each = 500;
    private const int LongEach = 5_000;
    private const int StatesMax = 3_000;
    private const int TracesMax = 150;
    private const int Seeds = 20;

    [Theory]
    [InlineData(ProgramKind.Mixed)]
    [InlineData(ProgramKind.LocksOnly)]
    [InlineData(ProgramKind.Blocks)]
    [InlineData(ProgramKind.Timers)]
    internal void Primitives_behave_as_programs_do(ProgramKind kind) => Compare(kind, Each, seed: 3);

    [Theory(Explicit = true)]
    [InlineData(ProgramKind.Mixed)]
    [InlineData(ProgramKind.LocksOnly)]
    [InlineData(ProgramKind.Blocks)]
    [InlineData(ProgramKind.Timers)]
    internal void Primitives_behave_as_programs_do_long(ProgramKind kind) => Compare(kind, LongEach, seed: 4);

    private static void Compare(ProgramKind kind, int count, int seed)
    {
        Random random = new(seed);
        int simulated = 0;
        for (int compared = 0; compared < count;)
        {
            IReadOnlyList<IReadOnlyList<string>> words = ProgramGenerator.Make(random, kind);
            OracleResult truth = BruteForce.Explore(OracleProgram.Parse(words), statesMax: StatesMax);
            if (truth.TooLarge || truth.Traces > TracesMax)
                continue;
            compared++;
            ProgramText text = Found.Read(words);
            string program = string.Join('\n', words.Select(task => string.Join(", ", task)));
            foreach (Strategy strategy in (Strategy[])[Strategy.Reduced, Strategy.Hashed])
            {
                Found found = KernelProgram.Explore(text, new ExploreOptions { Strategy = strategy });
                string what = $"{strategy} on primitives, program {compared}:\n{program}";
                Assert.True(found.Result.Verdict == Verdict.Exhausted, $"{found.Result.Verdict} by {what}");
                Assert.True(truth.Outcomes.SequenceEqual(found.Outcomes), $"{found.Outcomes.Count} outcomes instead of {truth.Outcomes.Count}: missing {string.Join(" | ", truth.Outcomes.Except(found.Outcomes))}; too many {string.Join(" | ", found.Outcomes.Except(truth.Outcomes))} by {what}");
                Assert.True(found.Result.Executions == truth.Traces, $"{found.Result.Executions} executions for {truth.Traces} traces by {what}");
                Assert.True(found.Result.Hole is null, $"one key, two states: {found.Result.Hole} by {what}");
            }
            for (ulong s = 1; s <= Seeds; s++)
            {
                string outcome = KernelProgram.Simulate(text, s);
                Assert.True(truth.Outcomes.Contains(outcome), $"simulation has {outcome} of\n{program}");
                simulated++;
            }
        }
        Assert.Equal(count * Seeds, simulated);
    }
}

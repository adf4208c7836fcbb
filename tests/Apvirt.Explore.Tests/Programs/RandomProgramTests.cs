using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;
using Apvirt.Explore.Tests.Oracle;

namespace Apvirt.Explore.Tests.Programs;

/// <summary>
/// Random programs: both searches have the outcomes and the numbers of traces of brute force that shares no code with either,
/// with one thread and with several, and the audit finds no hole (M124).
/// </summary>
public sealed class RandomProgramTests
{
    private const int Each = 2_500;
    private const int LongEach = 25_000;
    private const int StatesMax = 50_000;

    [Theory]
    [InlineData(ProgramKind.Mixed, true)]
    [InlineData(ProgramKind.LocksOnly, true)]
    [InlineData(ProgramKind.Blocks, true)]
    [InlineData(ProgramKind.Blocks, false)]
    [InlineData(ProgramKind.Timers, true)]
    internal void Both_searches_agree_with_brute_force(ProgramKind kind, bool hasQueues) => Compare(kind, hasQueues, Each, seed: 1);

    [Theory(Explicit = true)]
    [InlineData(ProgramKind.Mixed, true)]
    [InlineData(ProgramKind.LocksOnly, true)]
    [InlineData(ProgramKind.Blocks, true)]
    [InlineData(ProgramKind.Blocks, false)]
    [InlineData(ProgramKind.Timers, true)]
    internal void Both_searches_agree_with_brute_force_long(ProgramKind kind, bool hasQueues) => Compare(kind, hasQueues, LongEach, seed: 2);

    private static void Compare(ProgramKind kind, bool hasQueues, int count, int seed)
    {
        Random random = new(seed);
        int several = 0;
        int large = 0;
        for (int i = 0; i < count; i++)
        {
            IReadOnlyList<IReadOnlyList<string>> words = ProgramGenerator.Make(random, kind);
            OracleResult truth = BruteForce.Explore(OracleProgram.Parse(words), hasQueues, StatesMax);
            if (truth.TooLarge)
            {
                large++;
                continue;
            }
            ProgramText text = Found.Read(words, hasQueues);
            string program = string.Join('\n', words.Select(task => string.Join(", ", task)));
            Found reduced = Found.Of(text, new ExploreOptions { Jobs = i % 16 == 0 ? 3 : 1, Slice = i % 16 == 0 ? 2 : 1000 });
            Agree(truth, reduced, $"reduced, program {i}:\n{program}");
            Found hashed = Found.Of(text, new ExploreOptions { Strategy = Strategy.Hashed, Jobs = i % 16 == 1 ? 3 : 1 });
            Agree(truth, hashed, $"hashed, program {i}:\n{program}");
            Assert.True(hashed.Result.Hole is null, $"one key, two states: {hashed.Result.Hole} of\n{program}");
            several += truth.Outcomes.Count > 1 ? 1 : 0;
        }
        Assert.InRange(large, 0, count / 20);
        Assert.InRange(several, count / 20, count);
    }

    private static void Agree(OracleResult truth, Found found, string what)
    {
        Assert.True(found.Result.Verdict == Verdict.Exhausted, $"{found.Result.Verdict} by {what}");
        Assert.True(truth.Outcomes.SequenceEqual(found.Outcomes), $"{found.Outcomes.Count} outcomes instead of {truth.Outcomes.Count}: missing {string.Join(" | ", truth.Outcomes.Except(found.Outcomes))}; too many {string.Join(" | ", found.Outcomes.Except(truth.Outcomes))} by {what}");
        Assert.True(found.Result.Executions == truth.Traces, $"{found.Result.Executions} executions for {truth.Traces} traces by {what}");
    }
}

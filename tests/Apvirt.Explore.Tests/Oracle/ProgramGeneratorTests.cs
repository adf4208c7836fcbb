using System.Diagnostics;

namespace Apvirt.Explore.Tests.Oracle;

/// <summary>Random programs are well-formed, of the kind that was asked for, and small enough for the oracle.</summary>
public sealed class ProgramGeneratorTests
{
    private static IEnumerable<OracleProgram> Programs(int kind, int count)
    {
        Random random = new(100 + kind);
        return Enumerable.Range(0, count).Select(_ => OracleProgram.Parse(ProgramGenerator.Make(random, (ProgramKind)kind)));
    }

    [Theory]
    [InlineData((int)ProgramKind.Mixed)]
    [InlineData((int)ProgramKind.LocksOnly)]
    [InlineData((int)ProgramKind.Blocks)]
    [InlineData((int)ProgramKind.Timers)]
    public void Programs_are_well_formed(int kind)
    {
        foreach (OracleProgram program in Programs(kind, 3000))
        {
            Assert.InRange(program.Tasks.Length, 2, 5);
            Assert.All(program.Tasks, task => Assert.InRange(task.Length, 1, 10));
            string said = string.Join(", ", WellFormed.Complaints(program));
            Assert.True(said.Length == 0, $"{said}: {program}");
        }
    }

    [Theory]
    [InlineData((int)ProgramKind.Mixed)]
    [InlineData((int)ProgramKind.LocksOnly)]
    [InlineData((int)ProgramKind.Blocks)]
    [InlineData((int)ProgramKind.Timers)]
    public void Most_programs_are_small_enough(int kind)
    {
        int large = Programs(kind, 200).Count(program => BruteForce.Explore(program, statesMax: 100_000).TooLarge);
        Assert.InRange(large, 0, 10);
    }

    /// <summary>How fast the oracle is, for whoever decides how many programs a test can afford.</summary>
    [Theory(Explicit = true)]
    [InlineData((int)ProgramKind.Mixed)]
    [InlineData((int)ProgramKind.LocksOnly)]
    [InlineData((int)ProgramKind.Blocks)]
    [InlineData((int)ProgramKind.Timers)]
    public void Speed(int kind)
    {
        foreach (bool queueing in (bool[])[true, false])
        {
            OracleProgram[] programs = [.. Programs(kind, 2000)];
            List<double> times = [];
            List<int> states = [];
            List<int> traces = [];
            List<int> outcomes = [];
            int large = 0;
            foreach (OracleProgram program in programs)
            {
                long start = Stopwatch.GetTimestamp();
                OracleResult result = BruteForce.Explore(program, queueing, statesMax: 200_000);
                times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                states.Add(result.Visited);
                traces.Add(result.Traces);
                outcomes.Add(result.Outcomes.Count);
                large += result.TooLarge ? 1 : 0;
            }
            TestContext.Current.TestOutputHelper!.WriteLine(
                $"{(ProgramKind)kind} queueing {queueing}: {programs.Length / times.Sum() * 1000:F0}/s; ms {Spread(times)}; states {Spread(states)}; " +
                $"traces {Spread(traces)}; outcomes {Spread(outcomes)}; several outcomes in {outcomes.Count(n => n > 1)}; too large {large}");
        }
    }

    private static string Spread<T>(IEnumerable<T> values)
    {
        T[] sorted = [.. values.Order()];
        return $"median {sorted[sorted.Length / 2]:0.##} 95% {sorted[sorted.Length * 95 / 100]:0.##} max {sorted[^1]:0.##}";
    }
}

using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using Microsoft.Coyote;
using Microsoft.Coyote.Logging;
using Microsoft.Coyote.SystematicTesting;

namespace Apvirt.Bench.Coyote;

/// <summary>Searches of Coyote's engine and what they come to.</summary>
/// <param name="code">The program, as in <see cref="LockTasks"/>.</param>
/// <param name="strategy">Coyote's name of the strategy.</param>
/// <param name="seconds">The most time of a search.</param>
internal sealed class CoyoteSearch(int[][] code, string strategy, int seconds)
{
    private const uint Seeds = 9;

    private readonly record struct Found(long Executions, int Traces, long Deadlocks, TimeSpan Elapsed, long FirstExecution, TimeSpan First, string? Report);

    /// <summary>The version of Coyote.</summary>
    internal static string Version => typeof(Configuration).Assembly.GetName().Version!.ToString(3);

    /// <summary>Searches on after deadlocks, until the time is up or nothing is left.</summary>
    /// <param name="output">Where figures are printed.</param>
    internal void PrintAll(TextWriter output)
    {
        Found found = Run(seed: 1, goesOn: true);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"executions={found.Executions}\ntraces={found.Traces}\ndeadlocks={found.Deadlocks}\nseconds={found.Elapsed.TotalSeconds}"));
        if (found.Report is not null)
            output.WriteLine($"report={found.Report.ReplaceLineEndings(" ")}");
    }

    /// <summary>Searches for the first deadlock, with one seed after another.</summary>
    /// <param name="output">Where figures are printed.</param>
    internal void PrintFirst(TextWriter output)
    {
        List<Found> all = [.. Enumerable.Range(1, (int)Seeds).Select(seed => Run((uint)seed, goesOn: false))];
        if (all.Exists(found => found.FirstExecution == 0))
            return;
        double warm = all.Skip(1).Select(found => found.First.TotalMilliseconds).Order().ElementAt(all.Count / 2 - 1);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"cold={all[0].First.TotalMilliseconds}\nwarm={warm}"));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"least={all.Min(found => found.FirstExecution)}\nmost={all.Max(found => found.FirstExecution)}"));
    }

    private Found Run(uint seed, bool goesOn)
    {
        LockTasks tasks = new(code);
        SortedSet<string> traces = new(StringComparer.Ordinal);
        long executions = 0;
        long deadlocks = 0;
        long firstExecution = 0;
        TimeSpan first = default;
        using TestingEngine engine = TestingEngine.Create(Configure(seed, goesOn), tasks.RunAsync);
        long begin = Stopwatch.GetTimestamp();
        engine.RegisterEndIterationCallBack(_ =>
        {
            // The execution in which the time was up was cut off, and its tasks are not stuck.
            if (Stopwatch.GetElapsedTime(begin).TotalSeconds >= seconds)
                return;
            executions++;
            traces.Add(tasks.Trace);
            if (!tasks.IsStuck)
                return;
            if (deadlocks++ == 0)
                (firstExecution, first) = (executions, Stopwatch.GetElapsedTime(begin));
        });
        engine.Run();
        return new Found(executions, traces.Count, deadlocks, Stopwatch.GetElapsedTime(begin), firstExecution, first, engine.TestReport.BugReports.FirstOrDefault());
    }

    private Configuration Configure(uint seed, bool goesOn)
    {
        Configuration configuration = Configuration.Create()
            .WithTelemetryEnabled(false)
            .WithVerbosityEnabled(VerbosityLevel.None)
            .WithTestingIterations(uint.MaxValue)
            .WithTestingTimeout(seconds)
            .WithTestIterationsRunToCompletion(goesOn)
            .WithRandomGeneratorSeed(seed);
        return strategy switch
        {
            "random" => configuration.WithRandomStrategy(),
            "prioritization" => configuration.WithPrioritizationStrategy(isFair: false),
            "fair-prioritization" => configuration.WithPrioritizationStrategy(isFair: true),
            // Coyote has it and does not offer it.
            "dfs" => (Configuration)typeof(Configuration).GetMethod("WithDFSStrategy", BindingFlags.Instance | BindingFlags.NonPublic)!.Invoke(configuration, [])!,
            _ => throw new InvalidOperationException($"there is no strategy {strategy}"),
        };
    }
}

using System.Diagnostics;
using System.Globalization;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;
using Apvirt.Explore.Searches;

namespace Apvirt.Bench.Peers;

/// <summary>The searches of apvirt, each in a process of its own, so that it begins as cold as the others.</summary>
internal static class OwnPeer
{
    private const int WarmRuns = 200;
    private static readonly TimeSpan WarmMax = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan ProcessMax = TimeSpan.FromSeconds(3 * PeersReport.SecondsMax);

    private static readonly (string Name, ExploreOptions Options)[] Searches =
    [
        ("reduced", new ExploreOptions()),
        ("hashed", new ExploreOptions { Strategy = Strategy.Hashed, Audits = false }),
        ("hashed, audited", new ExploreOptions { Strategy = Strategy.Hashed }),
    ];

    /// <summary>Measures a program with each search.</summary>
    /// <param name="program">The program.</param>
    internal static IEnumerable<PeerRow> Rows(PeerProgram program)
    {
        foreach ((string name, _) in Searches)
        {
            ChildResult all = Child(name, program, "all");
            ChildResult? first = program.CanDeadlock ? Child(name, program, "first") : null;
            if ((first is { Status: not 0 } ? first : all) is { Status: not 0 } failed)
            {
                yield return PeerRow.Missing($"apvirt, {name}", program.Name, failed.Reason);
                continue;
            }
            string given = all.Number("blocked") is > 0 and var blocked ? $" + {PeersReport.Count(blocked)} given up" : "";
            string states = all.Number("states") is > 0 and var count ? $"{PeersReport.Count(count)} states, " : "";
            yield return new PeerRow(
                $"apvirt, {name}",
                program.Name,
                $"{states}{PeersReport.Count(all.Number("executions")!.Value)} executions{given}",
                first is null ? "none" : $"{Times(first)}, execution {PeersReport.Count(first.Number("executions")!.Value)}",
                all.Text("verdict") == nameof(Verdict.BoundReached) ? $"not exhausted: {PeersReport.Count(all.Number("executions")!.Value)} executions in {PeersReport.SecondsMax} s" : Times(all),
                all.Text("says")!);
        }
    }

    /// <summary>Measures one search and prints figures; what the child process does.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="search">Name of the search.</param>
    /// <param name="name">Name of the program.</param>
    /// <param name="stops">Whether it ends at the first deadlock.</param>
    internal static void Measure(TextWriter output, string search, string name, bool stops)
    {
        PeerProgram program = PeerProgram.All.Single(p => p.Name == name);
        ExploreOptions options = Searches.Single(s => s.Name == search).Options with { StopsAtDeadlock = stops, TimeMax = TimeSpan.FromSeconds(PeersReport.SecondsMax) };
        (TimeSpan cold, ExploreResult result) = Once(program, options);
        TimeSpan warm = TimeSpan.MaxValue;
        long begin = Stopwatch.GetTimestamp();
        for (int i = 0; i < WarmRuns && Stopwatch.GetElapsedTime(begin) < WarmMax; i++)
        {
            TimeSpan elapsed = Once(program, options).Elapsed;
            warm = elapsed < warm ? elapsed : warm;
        }
        output.WriteLine($"verdict={result.Verdict}");
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"executions={result.Executions}\nblocked={result.Blocked}\nstates={result.States}"));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"cold={cold.TotalMilliseconds}\nwarm={warm.TotalMilliseconds}"));
        output.WriteLine($"says={Says(program, options)}");
    }

    private static (TimeSpan Elapsed, ExploreResult Result) Once(PeerProgram program, ExploreOptions options)
    {
        long begin = Stopwatch.GetTimestamp();
        ExploreResult result = new Search(options, () => new SearchWorker(new LockProgramRun(program.Known.Program), Completed: null)).Run();
        return (Stopwatch.GetElapsedTime(begin), result);
    }

    // As `apvirt explore` has it: the outcomes, and a schedule that leads to each.
    private static string Says(PeerProgram program, ExploreOptions options)
    {
        ProgramResult found = new ProgramSearch(program.Text).Run(options);
        if (found.Outcomes.FirstOrDefault(outcome => outcome.IsStuck) is not { } stuck)
            return $"{(found.Result.Verdict == Verdict.Exhausted ? "exhausted" : "not exhausted")}, {found.Traces} traces, no deadlock";
        string waits = string.Join(", ", stuck.Tasks.Where(task => task.Value.WaitsFor is not null).Select(task => $"{task.Key} waits at \"{task.Value.WaitsFor}\""));
        return $"deadlock, {found.Result.Deadlocks} of {found.Traces} traces: {waits}; schedule {string.Join(' ', stuck.Schedule)}";
    }

    private static string Times(ChildResult child) => $"{PeersReport.Time(child.Number("warm")!.Value)} warm, {PeersReport.Time(child.Number("cold")!.Value)} cold";

    private static ChildResult Child(string search, PeerProgram program, string until) =>
        ChildProcess.Run("dotnet", Checkout.Root, ProcessMax, Environment.GetCommandLineArgs()[0], "peers", search, program.Name, until);
}

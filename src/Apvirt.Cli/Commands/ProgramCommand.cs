using System.Globalization;
using System.Text.Json;
using Apvirt.Cli.Rendering;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;
using Apvirt.Explore.Scenarios;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt explore</c> of a program of locks: its outcomes, and how each comes about.</summary>
internal static class ProgramCommand
{
    private sealed record Engine(string Name, ProgramResult Found);

    internal static int Run(Scenario scenario, ExploreOptions options, bool areBoth, bool isJson, CommandIo io)
    {
        ProgramText text = scenario.Program!;
        List<Engine> engines = [];
        using (ExploreProgressLine progress = new(io))
        {
            ProgramSearch search = new(text) { Progress = progress.Show };
            engines.Add(new Engine(NameOf(options.Strategy), search.Run(options)));
            if (areBoth)
                engines.Add(new Engine("hashed", search.Run(options with { Strategy = Strategy.Hashed })));
        }
        string? difference = Compare(engines);
        if (isJson)
            io.Out.WriteLine(JsonSerializer.Serialize(Describe(engines, difference), JsonText.Options));
        else
            Write(scenario, engines, difference, io);
        return difference is not null || engines[0].Found.Outcomes.Any(outcome => outcome.IsStuck) ? ExitCodes.Differences : ExitCodes.Ok;
    }

    private static string NameOf(Strategy strategy) => strategy switch
    {
        Strategy.Hashed => "hashed",
        Strategy.Naive => "naive",
        Strategy.Random => "random",
        Strategy.Priorities => "pct",
        _ => "reduced",
    };

    private static string VerdictOf(ProgramResult found) => found.Result.Verdict == Verdict.Exhausted ? "exhausted" : "bound reached";

    private static string? Compare(List<Engine> engines)
    {
        if (engines.Find(engine => engine.Found.Result.Hole is not null) is { } holed)
            return $"one key stands for two states; the schedules are {holed.Found.Result.Hole}";
        if (engines.Exists(engine => engine.Found.Result.Verdict != Verdict.Exhausted) || engines.Count < 2)
            return null;
        ProgramResult one = engines[0].Found;
        ProgramResult other = engines[1].Found;
        return one.Traces != other.Traces || !one.Outcomes.Select(o => o.Text).SequenceEqual(other.Outcomes.Select(o => o.Text), StringComparer.Ordinal)
            ? $"the searches differ: {one.Traces} traces and {one.Outcomes.Count} outcomes, {other.Traces} and {other.Outcomes.Count}"
            : null;
    }

    private static object Describe(List<Engine> engines, string? difference) => new
    {
        Verdict = engines.TrueForAll(engine => engine.Found.Result.Verdict == Verdict.Exhausted) ? "exhausted" : "bound reached",
        engines[0].Found.Result.Executions,
        engines[0].Found.Traces,
        engines[0].Found.Result.Deadlocks,
        engines[0].Found.Result.Blocked,
        Outcomes = engines[0].Found.Outcomes.Select(outcome => outcome.Tasks.ToDictionary(
            task => task.Key,
            task => new { task.Value.At, HasEnded = task.Value.WaitsFor is null, task.Value.WaitsFor, task.Value.Answers },
            StringComparer.Ordinal)),
        Texts = engines[0].Found.Outcomes.Select(outcome => outcome.Text),
        Schedules = engines[0].Found.Outcomes.Select(outcome => string.Join(' ', outcome.Schedule)),
        Engines = engines.Select(engine => new
        {
            engine.Name,
            Verdict = VerdictOf(engine.Found),
            engine.Found.Result.Executions,
            engine.Found.Traces,
            engine.Found.Result.Blocked,
            States = engine.Found.Result.States == 0 ? (long?)null : engine.Found.Result.States,
            Outcomes = engine.Found.Outcomes.Count,
        }),
        Agree = engines.Count < 2 ? (bool?)null : difference is null,
        Difference = difference,
    };

    private static void Write(Scenario scenario, List<Engine> engines, string? difference, CommandIo io)
    {
        if (scenario.About.Length > 0)
            io.Out.WriteLine($"{scenario.About}\n");
        IReadOnlyList<string> tasks = scenario.Program!.Tasks;
        Table table = new(["", .. tasks, "A SCHEDULE THAT LEADS THERE"]);
        foreach (ProgramOutcome outcome in engines[0].Found.Outcomes)
            table.Add([outcome.IsStuck ? "stuck" : "", .. tasks.Select(task => Cell(outcome.Tasks[task])), string.Join(' ', outcome.Schedule)]);
        table.Write(io.Out);
        foreach (Engine engine in engines)
        {
            ProgramResult found = engine.Found;
            string states = found.Result.States > 0 ? string.Create(CultureInfo.InvariantCulture, $", {found.Result.States} states") : "";
            io.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{engine.Name}: {VerdictOf(found)}, {found.Traces} traces, {found.Outcomes.Count} outcomes, {found.Outcomes.Count(outcome => outcome.IsStuck)} of them stuck; {found.Result.Executions} executions, {found.Result.Blocked} given up{states}"));
        }
        if (difference is not null)
            io.Out.WriteLine(difference);
        else if (engines.Count > 1)
            io.Out.WriteLine(engines.TrueForAll(engine => engine.Found.Result.Verdict == Verdict.Exhausted) ? "both searches agree" : "the two searches cannot be compared: one was cut");
    }

    private static string Cell(TaskOutcome task)
    {
        string answers = task.Answers.Count == 0 ? "" : $" [{string.Join(' ', task.Answers)}]";
        return (task.WaitsFor is { } waits ? $"waits: {waits}" : "ends") + answers;
    }
}

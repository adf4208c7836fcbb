using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Apvirt.Ap.Profiles;
using Apvirt.Cli.Rendering;
using Apvirt.Designs;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt explore</c>: every order in which several callers can take their locks, on the real driver.</summary>
internal static class ExploreCommand
{
    private static readonly (string Name, Strategy Strategy)[] Strategies =
    [
        ("reduced", Strategy.Reduced), ("hashed", Strategy.Hashed), (Both, Strategy.Reduced), ("naive", Strategy.Naive), ("random", Strategy.Random), ("pct", Strategy.Priorities),
    ];

    // Not a strategy but two, one after the other, whose results are compared.
    private const string Both = "both";

    internal static Command Create(CommandIo io)
    {
        Argument<string> path = new("SCENARIO") { Description = "A machine, what is done first, and what several callers then do at once (YAML; see examples/scenarios)." };
        Option<string?> profile = new("--profile") { Description = "The profile, instead of the scenario's; 'apvirt profiles' lists them." };
        profile.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<string?>() is { } name && Profile.Find(name) is null)
                result.AddError($"--profile: \"{name}\" is not known; 'apvirt profiles' lists them");
        });
        Option<string> strategy = new("--engine", "--strategy")
        {
            Description = "reduced: one execution for each trace, by the races of the ones before. hashed: every choice, cut where the same was seen before; knows nothing of races. both: one after the other, which must agree. naive: every interleaving. random, pct: drawn, for what is too large.",
            DefaultValueFactory = _ => "reduced",
        };
        strategy.AcceptOnlyFromAmong([.. Strategies.Select(s => s.Name)]);
        Option<string> points = new("--points") { Description = "needed: callers are interrupted before acquisitions, waits and calls, and wherever else an execution shows that others could come in. acquisitions: before those alone, which is faster and exhausts nothing that needs more. all: before every release and access, to test that fewer are enough.", DefaultValueFactory = _ => "needed" };
        points.AcceptOnlyFromAmong("needed", "acquisitions", "all");
        Option<bool> apart = new("--tell-apart") { Description = "Tell callers apart that do the same. Without, executions that differ only in which of them is which are one." };
        Option<int?> preemptions = AtLeast(new Option<int?>("--preemptions") { Description = "Every interleaving with so many switches at most away from a caller that could have gone on." }, 0);
        Option<ulong> seed = new("--seed") { Description = "Seed of what is drawn; no two have a schedule in common but by chance.", DefaultValueFactory = _ => 1 };
        Option<long?> executions = AtLeast(new Option<long?>("--executions") { Description = "The most executions." }, 1);
        Option<double> time = new("--time") { Description = "The most seconds.", DefaultValueFactory = _ => 60 };
        time.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<double>() is not (> 0 and < 1e7))
                result.AddError("--time: expected seconds, more than 0");
        });
        Option<int?> jobs = AtLeast(new Option<int?>("--jobs") { Description = "Threads; as many as there are processors if not given." }, 1);
        Option<int?> chosen = AtLeast(new Option<int?>("--violation") { Description = "Which violation --save, --html, --trace and --junit are about, counted from 1 as they are printed. Without, --html and --junit are about all, the others about the first." }, 1);
        Option<string?> save = new("--save") { Description = "Write a violation's schedule to this file, for --replay." };
        Option<string?> replay = new("--replay") { Description = "Do the steps of a file that --save wrote, and nothing else." };
        Option<string?> html = new("--html") { Description = "Write a page that shows each violation: the cycle of locks, and who did what in which order." };
        Option<string?> trace = new("--trace") { Description = "Write a violation's schedule for Perfetto or chrome://tracing." };
        Option<string?> junit = new("--junit") { Description = "Write the result as JUnit XML." };
        Option<bool> json = new("--json") { Description = "The result as JSON." };
        Command command = new(
            "explore",
            "Run several callers in every order of their lock acquisitions, with orders, guards, lifetimes, invariants and answers checked in each. Says 'exhausted' only when there is no other order.")
        {
            path, profile, strategy, points, apart, preemptions, seed, executions, time, jobs, chosen, save, replay, html, trace, junit, json,
        };
        // A bound is a search of its own: each way to stay below it, whatever else would tell orders apart.
        command.Validators.Add(result =>
        {
            if (result.GetResult(preemptions) is not null && result.GetResult(strategy) is { Implicit: false } && result.GetValue(strategy) != "naive")
                result.AddError($"--preemptions is not for --engine {result.GetValue(strategy)}; leave one of them out");
        });
        command.SetAction(parsed =>
        {
            if (!TryRead(parsed.GetValue(path)!, parsed.GetValue(profile), io, out Scenario? scenario))
                return ExitCodes.BadInput;
            if (scenario!.Design is not null && parsed.GetValue(replay) is { } saved)
                return ScheduleFile.ReplayDesign(scenario, saved, io);
            if (parsed.GetValue(replay) is { } file)
                return scenario.Program is null ? ScheduleFile.Replay(scenario!, file, io) : Refuse("--replay is for scenarios of the driver; a program has no schedules in files", io);
            ExploreOptions options = new()
            {
                Strategy = parsed.GetValue(preemptions) is null ? Array.Find(Strategies, s => s.Name == parsed.GetValue(strategy)).Strategy : Strategy.Naive,
                PreemptionsMax = parsed.GetValue(preemptions) ?? int.MaxValue,
                HasPointsEverywhere = parsed.GetValue(points) == "all",
                AddsPoints = parsed.GetValue(points) == "needed",
                TellsApart = parsed.GetValue(apart),
                Seed = parsed.GetValue(seed),
                ExecutionsMax = parsed.GetValue(executions) ?? long.MaxValue,
                TimeMax = TimeSpan.FromSeconds(parsed.GetValue(time)),
                Jobs = parsed.GetValue(jobs) ?? Environment.ProcessorCount,
            };
            bool areBoth = parsed.GetValue(preemptions) is null && parsed.GetValue(strategy) == Both;
            if (scenario.Program is not null)
                return ProgramCommand.Run(scenario, options, areBoth, parsed.GetValue(json), io);
            if (areBoth)
                return RunBoth(scenario, options, parsed.GetValue(json), io);
            return Run(scenario!, Path.GetFileNameWithoutExtension(parsed.GetValue(path)!), options, new Outputs(
                parsed.GetValue(chosen), parsed.GetValue(save), parsed.GetValue(html), parsed.GetValue(trace), parsed.GetValue(junit), parsed.GetValue(json)), io);
        });
        return command;
    }

    private sealed record Outputs(int? Violation, string? Save, string? Html, string? Trace, string? Junit, bool IsJson);

    private static Option<T> AtLeast<T>(Option<T> option, long least)
    {
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<T>() is { } value && Convert.ToInt64(value, CultureInfo.InvariantCulture) < least)
                result.AddError($"{option.Name}: expected a number, at least {least}");
        });
        return option;
    }

    private static bool TryRead(string path, string? profile, CommandIo io, out Scenario? scenario)
    {
        scenario = null;
        if (!InputFile.TryRead(path, io, out byte[] text))
            return false;
        if (Scenario.Read(path, Encoding.UTF8.GetString(text), out scenario) is { } error)
        {
            io.Error.WriteLine(error);
            return false;
        }
        if (scenario!.Design is { } design && !Catalogue.All.Any(entry => entry.Name == design))
        {
            io.Error.WriteLine($"{path}: design \"{design}\" is not known; 'apvirt designs' lists them");
            return false;
        }
        if (profile is not null)
            scenario = scenario! with { Profile = Profile.Find(profile)! };
        return true;
    }

    private static int Refuse(string why, CommandIo io)
    {
        io.Error.WriteLine(why);
        return ExitCodes.BadInput;
    }

    // Two searches that share nothing must have the same traces and outcomes (M124).
    private static int RunBoth(Scenario scenario, ExploreOptions options, bool isJson, CommandIo io)
    {
        ScenarioResult reduced;
        ScenarioResult hashed;
        using (ExploreProgressLine progress = new(io))
        {
            reduced = new ScenarioSearch(scenario) { Progress = progress.Show }.Run(options);
            hashed = new ScenarioSearch(scenario) { Progress = progress.Show }.Run(options with { Strategy = Strategy.Hashed });
        }
        string? difference = ScenarioSearch.Compare(reduced, hashed);
        if (isJson)
        {
            io.Out.WriteLine(JsonSerializer.Serialize(new { Reduced = reduced, Hashed = hashed, Agree = difference is null, Difference = difference }, JsonText.Options));
        }
        else
        {
            ExploreText.Write(scenario, reduced, io);
            io.Out.WriteLine($"by keys: {ExploreText.Verdict(hashed)}; {hashed.Result.States} states");
            io.Out.WriteLine(difference ?? (ScenarioSearch.AreComparable(reduced, hashed) ? "both searches agree" : "the two searches cannot be compared: one was cut"));
        }
        return difference is not null || reduced.Unpredicted.Any() || hashed.Unpredicted.Any() ? ExitCodes.Differences : ExitCodes.Ok;
    }

    private static int Run(Scenario scenario, string name, ExploreOptions options, Outputs outputs, CommandIo io)
    {
        long start = Stopwatch.GetTimestamp();
        using Interruption interruption = new();
        ScenarioResult result;
        using (ExploreProgressLine progress = new(io))
        {
            result = scenario.Design is { } design
                ? ResultOf(DesignSearch.Run(Catalogue.All.First(entry => entry.Name == design).Make, options, () => interruption.IsAsked))
                : new ScenarioSearch(scenario) { Progress = progress.Show, IsEnough = () => interruption.IsAsked }.Run(options);
        }
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        if (outputs.Violation > result.Violations.Count)
            return Refuse($"--violation {outputs.Violation}: {(result.Violations.Count == 0 ? "there is none" : $"there are {result.Violations.Count}")}", io);
        ScenarioViolation? first = result.Violations.Count > 0 ? result.Violations[(outputs.Violation ?? 1) - 1] : null;
        ScenarioResult chosen = outputs.Violation is null ? result : result with { Violations = [first!] };
        bool isWritten = (outputs.Save is null || first is null || TryWrite(outputs.Save, ScheduleFile.Text(scenario, first), io))
            && (outputs.Trace is null || first is null || TryWrite(outputs.Trace, TimelineTrace.Text(scenario, first), io))
            && (outputs.Html is null || TryWrite(outputs.Html, TimelineHtml.Text(scenario, chosen), io))
            && (outputs.Junit is null || TryWrite(outputs.Junit, JunitText.Text(name, scenario, chosen, seconds), io));
        if (outputs.IsJson)
            io.Out.WriteLine(JsonSerializer.Serialize(result, JsonText.Options));
        else
            ExploreText.Write(scenario, result, io);
        io.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{seconds:F1} s, {(result.Result.Executions + result.Result.Blocked) / seconds:F0} executions a second"));
        if (interruption.IsAsked)
            io.Error.WriteLine("interrupted: this is what was found until then");
        return !isWritten ? ExitCodes.BadInput : result.Unpredicted.Any() ? ExitCodes.Differences : interruption.IsAsked ? ExitCodes.Interrupted : ExitCodes.Ok;
    }

    // What a design shows is what it is kept for, so it is all predicted by the design.
    private static ScenarioResult ResultOf(DesignResult design) =>
        new(design.Result, Outcomes: design.Violations.Count, [.. design.Violations.Select(violation => violation with { Finding = "the design" })]) { AreAnswersCompared = true };

    private static bool TryWrite(string file, string text, CommandIo io)
    {
        try
        {
            File.WriteAllText(file, text);
            return true;
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            io.Error.WriteLine($"{file}: {problem.Message}");
            return false;
        }
    }
}

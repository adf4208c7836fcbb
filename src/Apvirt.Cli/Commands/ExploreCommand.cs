using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Apvirt.Ap.Profiles;
using Apvirt.Cli.Rendering;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt explore</c>: every order in which several callers can take their locks, on the real driver.</summary>
internal static class ExploreCommand
{
    internal static Command Create(CommandIo io)
    {
        Argument<string> path = new("SCENARIO") { Description = "A machine, what is done first, and what several callers then do at once (YAML; see examples/scenarios)." };
        Option<string?> profile = new("--profile") { Description = "The profile, instead of the scenario's; 'apvirt profiles' lists them." };
        profile.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<string?>() is { } name && Profile.Find(name) is null)
                result.AddError($"--profile: \"{name}\" is not known; 'apvirt profiles' lists them");
        });
        Option<long> executions = new("--executions") { Description = "The most executions.", DefaultValueFactory = _ => 100_000 };
        Option<bool> naive = new("--naive") { Description = "Every interleaving, not one for each trace: to see that nothing is left out." };
        Option<string?> save = new("--save") { Description = "Write the first violation's schedule to this file, for --replay." };
        Option<string?> replay = new("--replay") { Description = "Do the steps of a file that --save wrote, and nothing else." };
        Option<bool> json = new("--json") { Description = "The result as JSON." };
        Command command = new(
            "explore",
            "Run several callers in every order of their lock acquisitions, with orders, guards, lifetimes, invariants and answers checked in each. Says 'exhausted' only when there is no other order.")
        {
            path, profile, executions, naive, save, replay, json,
        };
        command.SetAction(parsed => Run(
            parsed.GetValue(path)!, parsed.GetValue(profile),
            new ExploreOptions { ExecutionsMax = parsed.GetValue(executions), Strategy = parsed.GetValue(naive) ? Strategy.Naive : Strategy.Reduced },
            parsed.GetValue(save), parsed.GetValue(replay), parsed.GetValue(json), io));
        return command;
    }

    private static int Run(string path, string? profile, ExploreOptions options, string? save, string? replay, bool json, CommandIo io)
    {
        if (!InputFile.TryRead(path, io, out byte[] text))
            return ExitCodes.BadInput;
        if (Scenario.Read(path, System.Text.Encoding.UTF8.GetString(text), out Scenario? scenario) is { } error)
        {
            io.Error.WriteLine(error);
            return ExitCodes.BadInput;
        }
        if (profile is not null)
            scenario = scenario! with { Profile = Profile.Find(profile)! };
        if (replay is not null)
            return Replay(scenario!, replay, io);
        long start = Stopwatch.GetTimestamp();
        ScenarioResult result = new ScenarioSearch(scenario!).Run(options);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        if (save is not null && result.Violations.OrderBy(v => v.Finding is not null).FirstOrDefault() is { } first)
            File.WriteAllText(save, JsonSerializer.Serialize(new SavedSchedule(scenario!.Profile.Name, first.Rule, first.Schedule), JsonText.Options) + "\n");
        if (json)
            io.Out.WriteLine(JsonSerializer.Serialize(result, JsonText.Options));
        else
            Write(scenario!, result, io);
        io.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{seconds:F1} s, {(result.Result.Executions + result.Result.Blocked) / seconds:F0} executions a second"));
        return result.Violations.Any(v => v.Finding is null) ? ExitCodes.Differences : ExitCodes.Ok;
    }

    // Names tasks and locks, so it outlives changes of the code that do not change what they do.
    private sealed record SavedSchedule(string Profile, string Rule, IReadOnlyList<ScheduleStep> Schedule);

    private static int Replay(Scenario scenario, string file, CommandIo io)
    {
        if (!InputFile.TryRead(file, io, out byte[] text))
            return ExitCodes.BadInput;
        SavedSchedule? saved = null;
        try
        {
            saved = JsonSerializer.Deserialize<SavedSchedule>(text, JsonText.Options);
        }
        catch (JsonException problem)
        {
            io.Error.WriteLine($"{file}:{problem.LineNumber + 1}:{problem.BytePositionInLine + 1}: expected a schedule as 'apvirt explore --save' writes it");
        }
        if (saved?.Schedule is null || Profile.Find(saved.Profile) is not { } profile)
            return ExitCodes.BadInput;
        if (new ScenarioSearch(scenario with { Profile = profile }).Replay(saved.Schedule, out IReadOnlyList<ScenarioViolation> violations) is { } divergence)
        {
            io.Error.WriteLine($"{file}: {divergence}");
            return ExitCodes.BadInput;
        }
        foreach (ScenarioViolation violation in violations)
            io.Out.WriteLine($"{violation.Rule}{(violation.Finding is null ? "" : $", predicted by {violation.Finding}")}: {violation.Summary}");
        bool isSame = violations.Any(violation => violation.Rule == saved.Rule);
        io.Out.WriteLine(isSame ? $"{saved.Schedule.Count} steps, {saved.Rule} again" : $"{saved.Schedule.Count} steps, {saved.Rule} not seen any more");
        return isSame ? ExitCodes.Differences : ExitCodes.Ok;
    }

    private static void Write(Scenario scenario, ScenarioResult result, CommandIo io)
    {
        io.Out.WriteLine($"{scenario.About}, under {scenario.Profile.Name}");
        foreach (ScenarioViolation violation in result.Violations)
        {
            io.Out.WriteLine();
            io.Out.WriteLine($"{violation.Rule}{(violation.Finding is null ? "" : $", predicted by {violation.Finding}")}, in {violation.Count} executions: {violation.Summary}");
            Timeline(violation.Schedule, io);
        }
        string verdict = result.Result.Verdict switch
        {
            Verdict.BoundReached => $"bound reached after {result.Result.Executions} executions: not everything was seen",
            _ => $"exhausted ({result.Result.Executions} traces)",
        };
        int unpredicted = result.Violations.Count(v => v.Finding is null);
        io.Out.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{verdict}, {result.Outcomes} outcomes, {unpredicted} violations, {result.Violations.Count - unpredicted} predicted; {result.Result.Blocked} repetitions given up, {result.Result.DepthReached} steps at most"));
    }

    // A lane for each caller, a line for each step: who holds what is seen from top to bottom.
    private static void Timeline(IReadOnlyList<ScheduleStep> schedule, CommandIo io)
    {
        string[] lanes = [.. schedule.Select(step => step.Task).Distinct(StringComparer.Ordinal)];
        int[] widths = [.. lanes.Select(lane => Math.Max(lane.Length, schedule.Where(step => step.Task == lane).Max(step => Text(step).Length)) + 2)];
        io.Out.WriteLine("  " + string.Concat(lanes.Select((lane, i) => lane.PadRight(widths[i]))).TrimEnd());
        foreach (ScheduleStep step in schedule)
            io.Out.WriteLine("  " + string.Concat(lanes.Select((lane, i) => (lane == step.Task ? Text(step) : "").PadRight(widths[i]))).TrimEnd());
    }

    private static string Text(ScheduleStep step) =>
        step.Target.Length == 0 ? "|" : step.Action == "acquires" ? step.Target : $"{step.Target} ({(step.Action == "acquires shared" ? "r" : step.Action)})";
}

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
        Option<bool> json = new("--json") { Description = "The result as JSON." };
        Command command = new(
            "explore",
            "Run several callers in every order of their lock acquisitions, with orders, guards, lifetimes, invariants and answers checked in each. Says 'exhausted' only when there is no other order.")
        {
            path, profile, executions, naive, json,
        };
        command.SetAction(parsed => Run(
            parsed.GetValue(path)!, parsed.GetValue(profile),
            new ExploreOptions { ExecutionsMax = parsed.GetValue(executions), Strategy = parsed.GetValue(naive) ? Strategy.Naive : Strategy.Reduced },
            parsed.GetValue(json), io));
        return command;
    }

    private static int Run(string path, string? profile, ExploreOptions options, bool json, CommandIo io)
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
        long start = Stopwatch.GetTimestamp();
        ScenarioResult result = new ScenarioSearch(scenario!).Run(options);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        if (json)
            io.Out.WriteLine(JsonSerializer.Serialize(result, JsonText.Options));
        else
            Write(scenario!, result, io);
        io.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{seconds:F1} s, {(result.Result.Executions + result.Result.Blocked) / seconds:F0} executions a second"));
        return result.Violations.Any(v => v.Finding is null) ? ExitCodes.Differences : ExitCodes.Ok;
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
        step.Target.Length == 0 ? "|" : step.Action == "acquires shared" ? step.Target + " (r)" : step.Target;
}

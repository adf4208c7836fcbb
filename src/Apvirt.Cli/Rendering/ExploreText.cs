using System.Globalization;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;
using Apvirt.Kernel.Validation;

namespace Apvirt.Cli.Rendering;

/// <summary>What exploring found, for a terminal.</summary>
internal static class ExploreText
{
    internal static void Write(Scenario scenario, ScenarioResult result, CommandIo io)
    {
        io.Out.WriteLine($"{scenario.About}, under {scenario.Profile.Name}");
        SourceMap source = new();
        foreach (ScenarioViolation violation in result.Violations)
        {
            io.Out.WriteLine();
            io.Out.WriteLine($"{Title(violation)}, in {violation.Count} {(violation.Count == 1 ? "execution" : "executions")}");
            if (violation.Cycle is { } cycle)
                io.Out.WriteLine($"  {cycle}");
            Timeline(violation.Schedule, io);
            Cycle(violation, source, io);
        }
        if (!result.AreAnswersCompared)
            io.Out.WriteLine("not all answers could be judged (V06): the operations' steps have too many orders to look at them all");
        io.Out.WriteLine(Verdict(result));
        if (result.Points.Count > 0)
            io.Out.WriteLine($"points beside acquisitions, where others can come in: {string.Join(", ", result.Points)}");
    }

    internal static string Title(ScenarioViolation violation) =>
        $"{violation.Rule}{(violation.Finding is null ? "" : $", predicted by {violation.Finding}")}: {violation.Summary}";

    internal static string Verdict(ScenarioResult result)
    {
        string verdict = result.Result.Verdict == Explore.Engine.Verdict.BoundReached
            ? $"bound reached after {result.Result.Executions} executions: not everything was seen"
            : $"exhausted ({result.Result.Executions} traces{string.Concat(result.Alike.Select(callers => $", up to the exchange of {string.Join(", ", callers.SkipLast(1))} and {callers[^1]}"))})";
        int unpredicted = result.Unpredicted.Count();
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{verdict}, {result.Outcomes} outcomes, {unpredicted} violations, {result.Violations.Count - unpredicted} predicted; {result.Result.Blocked} repetitions given up, {result.Result.DepthReached} steps at most");
    }

    /// <summary>What a step does, in a word.</summary>
    internal static string Step(ScheduleStep step) => step.Target.Length == 0 ? "|" : step.Action switch
    {
        "acquires" => step.Target,
        "acquires shared" => $"{step.Target} (r)",
        "waits for" => $"waits for {step.Target}",
        _ => $"{step.Target} ({step.Action})",
    };

    // As kernel developers know it, where the validator has a report; or else who waits for whom.
    private static void Cycle(ScenarioViolation violation, SourceMap source, CommandIo io)
    {
        if (violation.Locks is { } locks)
        {
            foreach (string line in LockReportText.Format(locks, source.FunctionAt).TrimEnd().Split('\n'))
                io.Out.WriteLine($"  {line}".TrimEnd());
            return;
        }
        foreach (ScheduleStep wait in violation.Schedule.Waits)
        {
            string owners = wait.Owners.Count == 0 ? "" : $", held by {string.Join(" and by ", wait.Owners.Select(owner => $"{owner.Task} since {Place(owner.Held.Site, owner.Held.Function)}"))}";
            io.Out.WriteLine($"  {wait.Task} waits for {wait.Target}{(wait.Site is null ? "" : $" at {Place(wait.Site, wait.Function)}")}{owners}");
            foreach (HeldAt held in wait.Held)
                io.Out.WriteLine($"    and holds {held.Lock} since {Place(held.Site, held.Function)}");
        }
    }

    private static string Place(string site, string? function) => function is null ? site : $"{site} ({function})";

    // A lane for each caller, a line for each step: who does what is seen from top to bottom; last, who waits for ever.
    private static void Timeline(Schedule schedule, CommandIo io)
    {
        ScheduleStep[] all = [.. schedule.Steps, .. schedule.Waits];
        int[] widths = [.. schedule.Tasks.Select(lane => Math.Max(lane.Length, all.Where(step => step.Task == lane).Max(step => Step(step).Length)) + 2)];
        int digits = schedule.Steps.Count.ToString(CultureInfo.InvariantCulture).Length;
        Line("", lane => lane, null);
        for (int i = 0; i < schedule.Steps.Count; i++)
        {
            ScheduleStep step = schedule.Steps[i];
            Line((i + 1).ToString(CultureInfo.InvariantCulture), lane => lane == step.Task ? Step(step) : "", step);
        }
        if (schedule.Waits.Count > 0)
            Line("", lane => schedule.Waits.FirstOrDefault(wait => wait.Task == lane) is { } wait ? Step(wait) : "", null);

        void Line(string number, Func<string, string> cell, ScheduleStep? step) => io.Out.WriteLine(
            $"  {number.PadLeft(digits)}  {string.Concat(schedule.Tasks.Select((lane, i) => cell(lane).PadRight(widths[i])))}{(step?.Site is null ? "" : Where(step))}".TrimEnd());
    }

    // Where a step is done, and under which locks.
    private static string Where(ScheduleStep step) =>
        $"{Place(step.Site!, step.Function)}{(step.Held.Count == 0 ? "" : $", holding {string.Join(", ", step.Held.Select(held => held.Lock))}")}";
}

/// <summary>How far an exploration has come, on a terminal, once it takes over a second.</summary>
internal sealed class ExploreProgressLine(CommandIo io) : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private readonly long _start = System.Diagnostics.Stopwatch.GetTimestamp();
    private bool _isShown;

    public void Dispose()
    {
        if (_isShown)
            io.Error.Write("\r\u001b[K");
    }

    internal void Show(ExploreProgress progress)
    {
        TimeSpan elapsed = System.Diagnostics.Stopwatch.GetElapsedTime(_start);
        if (!io.IsTerminal || elapsed < Patience)
            return;
        _isShown = true;
        string estimate = progress.Estimate is { } all && all > progress.Executions + progress.Blocked ? string.Create(CultureInfo.InvariantCulture, $" of about {all:G2}") : "";
        io.Error.Write(string.Create(
            CultureInfo.InvariantCulture,
            $"\r{progress.Executions} executions{estimate}, {(progress.Executions + progress.Blocked) / elapsed.TotalSeconds:F0} a second, {progress.Frontier} choices left, {progress.Depth} steps at most\u001b[K"));
    }
}

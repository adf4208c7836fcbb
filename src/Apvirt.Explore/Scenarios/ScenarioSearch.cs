using System.Diagnostics;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Searches;
using Apvirt.Host.Checks;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Explore.Scenarios;

/// <summary>
/// Explores a scenario on the real driver: every order of lock acquisitions, with lock orders, guards, lifetimes and
/// invariants checked in each execution, and the answers held against those of all orders of the operations (V06).
/// </summary>
/// <param name="scenario">The scenario.</param>
public sealed class ScenarioSearch(Scenario scenario)
{
    private const int SimplifyExecutions = 2000;
    private const int SimplifyMax = 5;
    private const int ShrinkTries = 200;

    private readonly StepOrders _orders = new(scenario);
    private readonly SourceMap _source = new();

    /// <summary>How many orders of the operations' steps are looked at before an outcome is left unjudged (V06).</summary>
    public int StepOrdersMax
    {
        get => _orders.ExecutionsMax;
        init => _orders.ExecutionsMax = value;
    }

    /// <summary>Called now and then while it runs.</summary>
    public Action<ExploreProgress>? Progress { get; set; }

    /// <summary>Whether to end before everything was seen, asked after each execution from any thread; null for never.</summary>
    public Func<bool>? IsEnough { get; init; }

    /// <summary>
    /// Explores. Where it turns out that points are missing (<see cref="PointNeeds"/>), it explores again, until none is; a search
    /// that learns of some is soon given up for the next. What any of the searches found stays found.
    /// </summary>
    /// <param name="options">How and how far.</param>
    public ScenarioResult Run(ExploreOptions options)
    {
        if (options.HasPointsEverywhere)
            return Run(options, Schedule.Everywhere, new ObjectNumbers(), [], lesson: null, out _);
        long begin = Stopwatch.GetTimestamp();
        SortedSet<string> points = new(StringComparer.Ordinal);
        ObjectNumbers numbers = new();
        HashSet<int> contended = [];
        ScenarioResult? found = null;
        while (true)
        {
            TimeSpan left = options.TimeMax == Timeout.InfiniteTimeSpan ? options.TimeMax : options.TimeMax - Stopwatch.GetElapsedTime(begin);
            if (found is not null && left != Timeout.InfiniteTimeSpan && left <= TimeSpan.Zero)
                return found with { Result = found.Result with { Verdict = Verdict.BoundReached } };
            int before = points.Count;
            Lesson? lesson = options.AddsPoints ? new Lesson() : null;
            ScenarioResult result = Run(options with { TimeMax = left }, points.Count == 0 ? null : [.. points], numbers, contended, lesson, out string[] needed);
            found = found is null ? result : result.With(found);
            points.UnionWith(needed);
            if (!options.AddsPoints && points.Count > 0)
                return found with { Points = [.. points], Result = found.Result with { Verdict = Verdict.BoundReached } };
            if (points.Count == before || (result.Result.Verdict == Verdict.BoundReached && (lesson?.IsOver != true || IsEnough?.Invoke() == true)))
                return found with { Points = [.. points] };
        }
    }

    private ScenarioResult Run(ExploreOptions options, IReadOnlyList<string>? points, ObjectNumbers numbers, HashSet<int> contended, Lesson? lesson, out string[] needed)
    {
        List<ScenarioWorker> workers = [];
        TaskNumbers tasks = new(KernelExplored.TasksMax);
        Exchange? exchange = options.TellsApart ? null : FindTurns(points, numbers, tasks);
        Search search = new(options, () =>
        {
            ScenarioWorker worker = new(scenario, _orders, points, numbers, tasks);
            worker.Program.Contended.UnionWith(contended);
            worker.Program.Exchange = exchange;
            workers.Add(worker);
            int known = 0;
            int learnt = 0;
            return new SearchWorker(worker.Program, execution =>
            {
                // What meets may make points missing before what was done long ago.
                if (worker.Program.NeedsPointsAt.Count + worker.Program.Contended.Count is var knows && knows != known)
                    (known, learnt) = (knows, worker.Program.NeedsPointsGiven(worker.Program.Contended).Except(points ?? []).Count());
                lesson?.Saw(worker, learnt);
                return worker.Look(execution);
            });
        }) { Progress = Progress, IsEnough = () => lesson?.IsOver == true || IsEnough?.Invoke() == true };
        ExploreResult result = search.Run();
        foreach (ScenarioWorker worker in workers)
            worker.Dispose();
        contended.UnionWith(workers.SelectMany(worker => worker.Program.Contended));
        needed = [.. workers.SelectMany(worker => worker.Program.NeedsPointsGiven(contended)).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        HashSet<string> outcomes = new(workers.SelectMany(worker => worker.Outcomes), StringComparer.Ordinal);
        string[][] circles = [.. workers.SelectMany(worker => worker.Circles.Values)];
        Dictionary<(string, string, string?), ScenarioViolation> violations = [];
        foreach (ScenarioViolation violation in workers.SelectMany(worker => worker.Violations.Values))
        {
            if (!violations.TryGetValue((violation.Rule, violation.Summary, violation.Finding), out ScenarioViolation? known))
                known = violation with { Count = 0 };
            violations[(violation.Rule, violation.Summary, violation.Finding)] = known with
            {
                Count = known.Count + violation.Count,
                Schedule = violation.Schedule.IsSimplerThan(known.Schedule) ? violation.Schedule : known.Schedule,
            };
        }
        ScenarioViolation[] sorted =
        [
            .. violations.Values
                .Select(violation => violation with { Cycle = PredictedCycle.Of(violation.Locks, circles, result.Verdict) })
                .OrderBy(violation => violation.Finding is not null).ThenBy(violation => violation.Rule, StringComparer.Ordinal).ThenBy(violation => violation.Summary, StringComparer.Ordinal),
        ];
        for (int i = 0; i < sorted.Length; i++)
        {
            Schedule detailed = Detailed(i < SimplifyMax ? Simplified(sorted[i]) : sorted[i].Schedule);
            sorted[i] = sorted[i] with { Schedule = detailed, Edges = LockEdges.Of(sorted[i].Locks, detailed, _source) };
        }
        if (result.Verdict == Verdict.Exhausted && Array.Exists(sorted, violation => violation.Finding is null))
            result = result with { Verdict = Verdict.Violation };
        return new ScenarioResult(result, outcomes.Count, sorted) { OutcomeTexts = outcomes, AreAnswersCompared = _orders.HasJudgedAll, Alike = exchange is null ? [] : [.. scenario.Alike().Select(group => group.Select(caller => scenario.Tasks[caller].Name).ToArray())] };
    }

    private Exchange? FindTurns(IReadOnlyList<string>? points, ObjectNumbers numbers, TaskNumbers tasks)
    {
        if (!scenario.Alike().Any())
            return null;
        using ScenarioWorker worker = new(scenario, orders: null, points, numbers, tasks);
        return worker.FindTurns(scenario.Alike());
    }

    /// <summary>Whether both searches have come to their end, so that they must agree.</summary>
    /// <param name="one">What one found.</param>
    /// <param name="other">What the other found.</param>
    public static bool AreComparable(ScenarioResult one, ScenarioResult other) =>
        one.Result.Verdict != Verdict.BoundReached && other.Result.Verdict != Verdict.BoundReached;

    /// <summary>Where two searches differ that must agree.</summary>
    /// <param name="one">What one found.</param>
    /// <param name="other">What the other found.</param>
    /// <returns>What differs, in a sentence; null if nothing does, or one was cut.</returns>
    public static string? Compare(ScenarioResult one, ScenarioResult other)
    {
        if (one.Result.Hole is { } hole || (hole = other.Result.Hole) is not null)
            return $"one key stands for two states, so something is shared that does not announce itself; the schedules are {hole}";
        if (!AreComparable(one, other))
            return null;
        string[] missing = [.. other.OutcomeTexts.Except(one.OutcomeTexts, StringComparer.Ordinal)];
        string[] more = [.. one.OutcomeTexts.Except(other.OutcomeTexts, StringComparer.Ordinal)];
        return missing.Length + more.Length > 0 ? $"the searches differ: one has {one.Outcomes} outcomes and lacks {missing.Length}, the other has {other.Outcomes} and lacks {more.Length}"
            : one.Result.Executions != other.Result.Executions ? $"the searches differ: {one.Result.Executions} traces and {other.Result.Executions}"
            : one.Result.DepthReached != other.Result.DepthReached ? $"the searches differ: {one.Result.DepthReached} steps at most and {other.Result.DepthReached}"
            : null;
    }

    /// <summary>Does the steps of a schedule again.</summary>
    /// <param name="schedule">The schedule, as a violation has it.</param>
    /// <param name="violations">What went wrong in it.</param>
    /// <returns>Where the scenario does not follow the schedule any more; null if it did to its end.</returns>
    public string? Replay(Schedule schedule, out IReadOnlyList<ScenarioViolation> violations)
    {
        using ScenarioWorker worker = new(scenario, _orders, schedule.Points);
        string? divergence = worker.Replay(schedule, out _, out _);
        violations = [.. worker.Violations.Values];
        return divergence;
    }

    // The simplest schedule that shows the same: with as few preemptions as can be found among so many executions, or else
    // without the switches that it does not need.
    private Schedule Simplified(ScenarioViolation violation)
    {
        Schedule shrunk = Shrunk(violation);
        for (int preemptions = 0; preemptions < shrunk.Switches; preemptions++)
        {
            using ScenarioWorker worker = new(scenario, _orders, shrunk.Points);
            ExploreResult result = Search.Run(
                worker.Program,
                new ExploreOptions { Strategy = Strategy.Naive, PreemptionsMax = preemptions, ExecutionsMax = SimplifyExecutions },
                execution => worker.Look(execution) && !worker.Violations.ContainsKey((violation.Rule, violation.Summary, violation.Finding)));
            if (result.Verdict != Verdict.Violation)
                continue;
            Schedule found = worker.Violations[(violation.Rule, violation.Summary, violation.Finding)].Schedule;
            return found.IsSimplerThan(shrunk) ? found : shrunk;
        }
        return shrunk;
    }

    private Schedule Shrunk(ScenarioViolation violation)
    {
        using ScenarioWorker worker = new(scenario, _orders, violation.Schedule.Points);
        if (worker.Replay(violation.Schedule, out _, out IReadOnlyList<ScheduleSwitch> switches) is not null)
            return violation.Schedule;
        (string, string, string?) key = (violation.Rule, violation.Summary, violation.Finding);
        Schedule simplest = violation.Schedule;
        Shrinker.Shrink(switches, Shows, ShrinkTries);
        return simplest;

        bool Shows(IReadOnlyList<ScheduleSwitch> fewer)
        {
            if (!worker.Follow(fewer).TryGetValue(key, out ScenarioViolation? shown))
                return false;
            simplest = shown.Schedule.IsSimplerThan(simplest) ? shown.Schedule : simplest;
            return true;
        }
    }

    // Where tasks of one name could do the same step it may not be told which did; then nothing is known of what they hold.
    private Schedule Detailed(Schedule schedule)
    {
        using ScenarioWorker worker = new(scenario, orders: null, schedule.Points, source: _source);
        return worker.Replay(schedule, out Schedule done, out _) is null ? done : schedule;
    }
}

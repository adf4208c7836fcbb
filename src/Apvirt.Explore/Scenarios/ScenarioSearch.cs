using System.Diagnostics;
using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Scenarios;

/// <summary>
/// Explores a scenario on the real driver: every order of lock acquisitions, with lock orders, guards, lifetimes and
/// invariants checked in each execution, and the answers held against those of all orders of the operations (V06).
/// </summary>
/// <param name="scenario">The scenario.</param>
public sealed class ScenarioSearch(Scenario scenario)
{
    private const int OrdersMax = 2000;
    private const int SimplifyExecutions = 2000;
    private const int SimplifyMax = 5;

    /// <summary>Called now and then while it runs.</summary>
    public Action<ExploreProgress>? Progress { get; set; }

    /// <summary>
    /// Explores. If a field turns out to be accessed with nothing to order the accesses, it explores again with points before
    /// those accesses, so that others come in between them.
    /// </summary>
    /// <param name="options">How and how far.</param>
    public ScenarioResult Run(ExploreOptions options)
    {
        HashSet<string>? explained = ScenarioWorker.Explained(scenario, OrdersMax);
        if (options.HasPointsEverywhere)
            return Run(options, explained, Schedule.Everywhere, out _);
        long begin = Stopwatch.GetTimestamp();
        ScenarioResult result = Run(options, explained, points: null, out string[] racy);
        TimeSpan left = options.TimeMax == Timeout.InfiniteTimeSpan ? options.TimeMax : options.TimeMax - Stopwatch.GetElapsedTime(begin);
        return racy.Length == 0 || result.Result.Verdict == Verdict.BoundReached || (left != Timeout.InfiniteTimeSpan && left <= TimeSpan.Zero)
            ? result
            : Run(options with { TimeMax = left }, explained, racy, out _);
    }

    private ScenarioResult Run(ExploreOptions options, HashSet<string>? explained, IReadOnlyList<string>? points, out string[] racy)
    {
        List<ScenarioWorker> workers = [];
        FieldNumbers fields = new();
        Search search = new(options, () =>
        {
            ScenarioWorker worker = new(scenario, explained, points, fields);
            workers.Add(worker);
            return new SearchWorker(worker.Program, worker.Look);
        }) { Progress = Progress };
        ExploreResult result = search.Run();
        foreach (ScenarioWorker worker in workers)
            worker.Dispose();
        racy = [.. workers.SelectMany(worker => worker.Program.RacyFields).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        HashSet<string> outcomes = new(workers.SelectMany(worker => worker.Outcomes), StringComparer.Ordinal);
        string[][] circles = [.. workers.SelectMany(worker => worker.Circles.Values)];
        Dictionary<(string, string), ScenarioViolation> violations = [];
        foreach (ScenarioViolation violation in workers.SelectMany(worker => worker.Violations.Values))
        {
            if (!violations.TryGetValue((violation.Rule, violation.Summary), out ScenarioViolation? known))
                known = violation with { Count = 0 };
            violations[(violation.Rule, violation.Summary)] = known with
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
            sorted[i] = sorted[i] with { Schedule = Detailed(i < SimplifyMax ? Simplified(sorted[i], explained) : sorted[i].Schedule) };
        if (result.Verdict == Verdict.Exhausted && Array.Exists(sorted, violation => violation.Finding is null))
            result = result with { Verdict = Verdict.Violation };
        return new ScenarioResult(result, outcomes.Count, sorted) { OutcomeTexts = outcomes, AreAnswersCompared = explained is not null };
    }

    /// <summary>Does the steps of a schedule again.</summary>
    /// <param name="schedule">The schedule, as a violation has it.</param>
    /// <param name="violations">What went wrong in it.</param>
    /// <returns>Where the scenario does not follow the schedule any more; null if it did to its end.</returns>
    public string? Replay(Schedule schedule, out IReadOnlyList<ScenarioViolation> violations)
    {
        using ScenarioWorker worker = new(scenario, ScenarioWorker.Explained(scenario, OrdersMax), schedule.Points);
        string? divergence = worker.Replay(schedule, out _);
        violations = [.. worker.Violations.Values];
        return divergence;
    }

    // All executions with no preemption, then those with one, and so on, until one shows the same.
    private Schedule Simplified(ScenarioViolation violation, HashSet<string>? explained)
    {
        for (int preemptions = 0; preemptions < violation.Schedule.Switches; preemptions++)
        {
            using ScenarioWorker worker = new(scenario, explained, violation.Schedule.Points);
            Search search = new(
                new ExploreOptions { Strategy = Strategy.Naive, PreemptionsMax = preemptions, ExecutionsMax = SimplifyExecutions },
                () => new SearchWorker(worker.Program, execution => worker.Look(execution) && !worker.Violations.ContainsKey((violation.Rule, violation.Summary))));
            if (search.Run().Verdict != Verdict.Violation)
                continue;
            Schedule found = worker.Violations[(violation.Rule, violation.Summary)].Schedule;
            return found.IsSimplerThan(violation.Schedule) ? found : violation.Schedule;
        }
        return violation.Schedule;
    }

    // Where tasks of one name could do the same step it may not be told which did; then nothing is known of what they hold.
    private Schedule Detailed(Schedule schedule)
    {
        using ScenarioWorker worker = new(scenario, explained: null, schedule.Points);
        return worker.Replay(schedule, out Schedule done) is null ? done : schedule;
    }
}

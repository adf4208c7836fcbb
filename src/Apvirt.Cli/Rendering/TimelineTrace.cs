using System.Text.Json;
using Apvirt.Explore.Scenarios;

namespace Apvirt.Cli.Rendering;

/// <summary>
/// A schedule as Chrome trace events, which Perfetto reads: a thread for each caller, its operations, and within them the
/// locks that it holds. A step lasts a microsecond, for want of another measure.
/// </summary>
internal static class TimelineTrace
{
    private sealed record Event(string Name, string Ph, int Pid, int Tid, long? Ts, long? Dur, Dictionary<string, string>? Args);

    internal static string Text(Scenario scenario, ScenarioViolation violation)
    {
        IReadOnlyList<ScheduleStep> steps = violation.Schedule.Steps;
        List<Event> events = [];
        int thread = 0;
        foreach (string task in violation.Schedule.Tasks)
        {
            events.Add(new Event("thread_name", "M", 1, ++thread, null, null, new() { ["name"] = task }));
            int[] own = [.. Enumerable.Range(0, steps.Count).Where(i => steps[i].Task == task)];
            ScenarioTask? caller = scenario.Tasks.FirstOrDefault(t => t.Name == task);
            ScheduleStep? wait = violation.Schedule.Waits.FirstOrDefault(wait => wait.Task == task);
            foreach (IGrouping<int, int> operation in own.Where(i => steps[i].Operation >= 0).GroupBy(i => steps[i].Operation))
            {
                int end = wait?.Operation == operation.Key ? steps.Count + 1 : operation.Last() + 1;
                events.Add(new Event(caller!.Operations[operation.Key], "X", 1, thread, operation.First(), end - operation.First(), null));
            }
            AddLocks(events, thread, steps, own, end: steps.Count + (wait is null ? 0 : 1));
            if (wait is not null)
            {
                int begin = own.Length == 0 ? 0 : own[^1] + 1;
                events.Add(new Event(ExploreText.Step(wait), "X", 1, thread, begin, steps.Count + 1 - begin, null));
            }
        }
        return JsonSerializer.Serialize(new { traceEvents = events, otherData = new { rule = violation.Rule, summary = violation.Summary, profile = scenario.Profile.Name } }, Options) + "\n";
    }

    private static readonly JsonSerializerOptions Options = new(JsonText.Options) { PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    // A lock is held from the step that takes it to the step after which it is not held any more, or to the end.
    private static void AddLocks(List<Event> events, int thread, IReadOnlyList<ScheduleStep> steps, int[] own, int end)
    {
        List<(string Lock, int From)> held = [];
        foreach (int at in own)
        {
            IReadOnlyList<string> holds = steps[at].Holds;
            int same = 0;
            while (same < held.Count && same < holds.Count && held[same].Lock == holds[same])
                same++;
            // Slices must nest: where a lock goes while one taken under it stays, the slices of both end.
            int until = holds.Count > same ? at : at + 1;
            for (int i = held.Count - 1; i >= same; i--)
                events.Add(new Event(held[i].Lock, "X", 1, thread, held[i].From, until - held[i].From, null));
            held.RemoveRange(same, held.Count - same);
            held.AddRange(holds.Skip(same).Select(name => (name, at)));
        }
        for (int i = held.Count - 1; i >= 0; i--)
            events.Add(new Event(held[i].Lock, "X", 1, thread, held[i].From, end - held[i].From, null));
    }
}

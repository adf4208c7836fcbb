using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Validation;

namespace Apvirt.Explore.Scenarios;

/// <summary>The cycle of a violation: the one that the lock validator predicts, or the one in which tasks wait for ever.</summary>
public static class LockEdges
{
    /// <summary>The edges of the cycle in its order.</summary>
    /// <param name="locks">What the lock validator reports; null if nothing.</param>
    /// <param name="schedule">The schedule that shows the violation, with what came of each step.</param>
    /// <param name="source">Which function a place in the source belongs to.</param>
    public static IReadOnlyList<LockEdge> Of(LockReport? locks, Schedule schedule, SourceMap source) =>
        locks is { Lanes.Count: > 0 } ? [.. locks.Lanes.Select(lane => new LockEdge(NameOf(lane.Task), At(lane.Holds, source), At(lane.Wants, source)))] : OfWaits(schedule.Waits);

    // The validator knows tasks by name and number.
    private static string? NameOf(string? task) => task is null || task.LastIndexOf('/') is not (> 0 and var number) ? task : task[..number];

    private static HeldAt At(TracedLock traced, SourceMap source) => new(traced.Class + traced.Mode.Suffix(), traced.Site.ToString(), source.FunctionAt(traced.Site));

    // Who waits for whom, from one to the next until somebody comes up again.
    private static List<LockEdge> OfWaits(IReadOnlyList<ScheduleStep> waits)
    {
        foreach (ScheduleStep first in waits)
        {
            List<(ScheduleStep Wait, LockOwner Owner)> path = [];
            ScheduleStep? at = first;
            while (at is { Owners.Count: > 0, Site: not null } && path.TrueForAll(seen => seen.Wait != at))
            {
                LockOwner owner = at.Owners[0];
                path.Add((at, owner));
                at = waits.FirstOrDefault(wait => wait.Task == owner.Task);
            }
            if (at != first || path.Count == 0)
                continue;
            // Whoever waits holds what the one before waits for.
            return [.. path.Select((link, i) => new LockEdge(link.Wait.Task, path[(i + path.Count - 1) % path.Count].Owner.Held, new HeldAt(link.Wait.Target, link.Wait.Site!, link.Wait.Function)))];
        }
        return [];
    }
}

using System.Globalization;
using System.Text;
using Apvirt.Kernel.Locking;

namespace Apvirt.Kernel.Validation;

/// <summary>
/// A report as kernel developers know it: the ten parts of reference/lockdep.md, with one lane for each participant.
/// Within a participant an earlier line is an earlier acquisition (M035).
/// </summary>
public static class LockReportText
{
    private const int LaneWidth = 36;

    private const string Rule = "======================================================";

    /// <summary>Formats a report.</summary>
    /// <param name="report">The report.</param>
    /// <param name="function">The function that a place in the source belongs to; null if it is not known, or nobody asks.</param>
    public static string Format(LockReport report, Func<LockSite, string?>? function = null)
    {
        StringBuilder text = new();
        LockTrace trace = report.Trace;
        Line(text, Rule);
        Line(text, $"WARNING: {report.Title}");
        Line(text, $"apvirt {typeof(LockReportText).Assembly.GetName().Version}");
        Line(text, Rule.Replace('=', '-'));
        Line(text, $"{trace.Task} is trying to acquire lock:");
        Line(text, $"  ({trace.Taken.Class}){{{Kind(trace.Taken.Mode)}}}, at: {At(trace.Taken)}");
        TracedLock[] conflicting = [.. Conflicting(report)];
        if (conflicting.Length > 0)
        {
            Line(text, "");
            Line(text, "but task is already holding lock:");
            foreach (TracedLock held in conflicting)
                Line(text, $"  ({held.Class}){{{Kind(held.Mode)}}}, at: {At(held)}");
        }
        if (report.Lanes.Count > 0)
            FormatCycle(text, report, At);
        Line(text, "");
        Line(text, string.Create(CultureInfo.InvariantCulture, $"{trace.Held.Count} lock{(trace.Held.Count == 1 ? "" : "s")} held by {trace.Task}, earliest first:"));
        for (int i = 0; i < trace.Held.Count; i++)
            Line(text, string.Create(CultureInfo.InvariantCulture, $" #{i}: ({trace.Held[i].Class}){{{Kind(trace.Held[i].Mode)}}}, at: {At(trace.Held[i])}"));
        if (report.Stack.Count == 0)
            return text.ToString();
        Line(text, "");
        Line(text, "stack backtrace (innermost call first):");
        foreach (string call in report.Stack)
            Line(text, $"  {call}");
        return text.ToString();

        string At(TracedLock traced) => function?.Invoke(traced.Site) is { } name ? $"{name} ({traced.Site})" : traced.Site.ToString();
    }

    private static IEnumerable<TracedLock> Conflicting(LockReport report)
    {
        if (report.Lanes.Count > 0)
            return [report.Lanes[0].Holds];
        return report.Trace.Held.Where(held => string.Equals(held.Class, report.Trace.Taken.Class, StringComparison.Ordinal));
    }

    private static void FormatCycle(StringBuilder text, LockReport report, Func<TracedLock, string> at)
    {
        Line(text, "");
        Line(text, "which lock already depends on the new lock.");
        Line(text, "");
        Line(text, "the existing dependency chain (in reverse order) is:");
        for (int i = report.Lanes.Count - 1; i >= 0; i--)
            FormatLink(text, report.Lanes[i], i, at);
        Line(text, "");
        Line(text, "other info that might help us debug this:");
        Line(text, "");
        Line(text, "Chain exists of:");
        Line(text, $"  {string.Join(" --> ", report.Lanes.Select(lane => lane.Holds.Class).Append(report.Lanes[0].Holds.Class))}");
        Line(text, "");
        Line(text, $" Possible unsafe locking scenario ({report.Lanes.Count} tasks, one lane each):");
        Line(text, "");
        FormatLanes(text, report.Lanes);
        Line(text, "");
        Line(text, " *** DEADLOCK ***");
    }

    private static void FormatLink(StringBuilder text, LockLane lane, int number, Func<TracedLock, string> at)
    {
        Line(text, "");
        Line(text, string.Create(CultureInfo.InvariantCulture, $"-> #{number} ({lane.Wants.Class}){{{Kind(lane.Wants.Mode)}}}:"));
        if (lane.Trace is null)
        {
            Line(text, $"     declared inside {lane.Holds.Class}: {lane.Declared}");
            return;
        }
        Line(text, $"     by {lane.Task}:");
        foreach (TracedLock held in lane.Trace.Held)
            Line(text, $"     {held.Class}{held.Mode.Suffix()} at {at(held)}");
        Line(text, $"     {lane.Wants.Class}{lane.Wants.Mode.Suffix()} at {at(lane.Wants)}");
    }

    // Each participant has a column; time goes down. All take their first lock, then all want the next one's.
    private static void FormatLanes(StringBuilder text, IReadOnlyList<LockLane> lanes)
    {
        Row(text, lanes.Select(lane => lane.Task ?? "(declared)"));
        Row(text, lanes.Select(lane => new string('-', Math.Min(LaneWidth - 2, (lane.Task ?? "(declared)").Length))));
        for (int i = 0; i < lanes.Count; i++)
            Row(text, lanes.Select((lane, column) => column == i ? Call(lane.Holds) : ""));
        for (int i = 0; i < lanes.Count; i++)
            Row(text, lanes.Select((lane, column) => column == i ? Call(lane.Wants) : ""));
    }

    private static string Call(TracedLock taken) => taken.Mode switch
    {
        LockMode.Write => $"lock({taken.Class});",
        _ => $"rlock({taken.Class});",
    };

    private static void Row(StringBuilder text, IEnumerable<string> cells) =>
        Line(text, ("  " + string.Concat(cells.Select(cell => cell.PadRight(LaneWidth)))).TrimEnd());

    private static string Kind(LockMode mode) => mode switch
    {
        LockMode.Write => "W",
        LockMode.Read => "r",
        _ => "R",
    };

    private static void Line(StringBuilder text, string line) => text.Append(line).Append('\n');
}

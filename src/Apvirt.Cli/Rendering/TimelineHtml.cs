using System.Globalization;
using System.Net;
using System.Text;
using Apvirt.Explore.Scenarios;

namespace Apvirt.Cli.Rendering;

/// <summary>
/// A page of what exploring found, with nothing outside itself: for each violation a timeline with one lane for each
/// caller, and the graph of which lock was taken under which.
/// </summary>
internal static class TimelineHtml
{
    private const int RowHeight = 22;
    private const int LaneWidth = 230;
    private const int Left = 40;
    private const int BarWidth = 7;
    private const int GraphSize = 420;

    private const string Style = """
        body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1a1f28; background: #fff }
        h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2.5rem } code, svg text { font: 12px ui-monospace, monospace }
        .verdict { padding: .6rem 1rem; border-radius: 6px; background: #eef1f5 } .bad { background: #fde8e6 } .known { background: #fff4d6 }
        svg { display: block; margin: 1rem 0; max-width: 100% } .lane { font-weight: bold } .number { fill: #8a93a0 } .row { fill: #f6f7f9 }
        li { margin: .2rem 0 }
        @media (prefers-color-scheme: dark) {
          body { color: #dde3ea; background: #14181e } .verdict { background: #232a33 } .bad { background: #4a2320 } .known { background: #453a17 }
          svg text { fill: #dde3ea } .row { fill: #1b2028 }
        }
        """;

    internal static string Text(Scenario scenario, ScenarioResult result)
    {
        StringBuilder page = new();
        string kind = result.Unpredicted.Any() ? "bad" : result.Violations.Count > 0 ? "known" : "good";
        page.Append(CultureInfo.InvariantCulture, $"""
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{Safe(scenario.About)}</title>
            <style>{Style}</style></head><body>
            <h1>{Safe(scenario.About)}</h1>
            <p class="verdict {kind}">{Safe(ExploreText.Verdict(result))}, under {Safe(scenario.Profile.Name)}</p>
            <ul>{string.Concat(scenario.Tasks.Select(task => $"<li><b>{Safe(task.Name)}</b>: {string.Join(", then ", task.Operations.Select(o => $"<code>{Safe(o)}</code>"))}</li>"))}</ul>

            """);
        foreach (ScenarioViolation violation in result.Violations)
        {
            page.Append(CultureInfo.InvariantCulture, $"<h2>{Safe(ExploreText.Title(violation))}</h2>\n<p>In {violation.Count} executions; this is the one with the fewest switches.");
            page.Append(violation.Cycle is { } cycle ? $" {Safe(cycle.ToString())}." : "").Append("</p>\n");
            ScheduleStep[] steps = [.. violation.Schedule.Steps, .. violation.Schedule.Waits];
            string[] locks = [.. steps.SelectMany(step => step.Holds).Select(Class).Distinct(StringComparer.Ordinal)];
            Timeline(page, steps, locks);
            Graph(page, violation.Schedule, locks, violation.Cycle?.Classes ?? []);
        }
        return page.Append("</body></html>\n").ToString();
    }

    private static string Safe(string text) => WebUtility.HtmlEncode(text);

    // A lock as a step has it says how it is held.
    private static string Class(string held) => held.Split('(')[0];

    private static string Colour(string[] locks, string held) =>
        $"hsl({Math.Max(0, Array.IndexOf(locks, Class(held))) * 360 / Math.Max(1, locks.Length)} 65% 50%)";

    private static void Timeline(StringBuilder page, IReadOnlyList<ScheduleStep> steps, string[] locks)
    {
        string[] lanes = [.. steps.Select(step => step.Task).Distinct(StringComparer.Ordinal)];
        int height = (steps.Count + 2) * RowHeight;
        int width = Left + (lanes.Length * LaneWidth);
        page.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\" aria-label=\"timeline\">\n");
        for (int lane = 0; lane < lanes.Length; lane++)
            page.Append(CultureInfo.InvariantCulture, $"<text class=\"lane\" x=\"{Left + (lane * LaneWidth)}\" y=\"16\">{Safe(lanes[lane])}</text>\n");
        for (int i = 0; i < steps.Count; i++)
        {
            int y = (i + 1) * RowHeight;
            int lane = Array.IndexOf(lanes, steps[i].Task);
            if (i % 2 == 1)
                page.Append(CultureInfo.InvariantCulture, $"<rect class=\"row\" x=\"0\" y=\"{y}\" width=\"{width}\" height=\"{RowHeight}\"/>\n");
            page.Append(CultureInfo.InvariantCulture, $"<text class=\"number\" x=\"4\" y=\"{y + 15}\">{i + 1}</text>");
            for (int other = 0; other < lanes.Length; other++)
            {
                IReadOnlyList<string> holds = steps.Take(i + 1).LastOrDefault(step => step.Task == lanes[other])?.Holds ?? [];
                for (int held = 0; held < holds.Count; held++)
                    page.Append(CultureInfo.InvariantCulture, $"<rect x=\"{Left + (other * LaneWidth) + (held * (BarWidth + 1))}\" y=\"{y}\" width=\"{BarWidth}\" height=\"{RowHeight}\" fill=\"{Colour(locks, holds[held])}\"><title>{Safe(holds[held])}</title></rect>");
            }
            string text = steps[i].Target.Length == 0 ? "goes on" : ExploreText.Step(steps[i]);
            page.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left + (lane * LaneWidth) + (Math.Max(1, steps[i].Holds.Count) * (BarWidth + 1)) + 4}\" y=\"{y + 15}\">{Safe(text)}</text>\n");
        }
        page.Append("</svg>\n");
    }

    private static void Graph(StringBuilder page, Schedule schedule, string[] locks, IReadOnlyList<string> cycle)
    {
        // Who waits for a lock that is held is about to take it under the one it holds.
        (string From, string To)[] waits =
        [
            .. schedule.Waits.Where(wait => wait.Holds.Count > 0 && locks.Contains(wait.Target)).Select(wait => (Class(wait.Holds[^1]), wait.Target)).Distinct(),
        ];
        (string From, string To)[] edges =
        [
            .. schedule.Steps.SelectMany(step => step.Holds.Skip(1).Select((held, i) => (From: Class(step.Holds[i]), To: Class(held)))).Where(edge => edge.From != edge.To).Union(waits),
        ];
        if (edges.Length == 0)
            return;
        page.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {GraphSize * 2} {GraphSize}\" width=\"{GraphSize * 2}\" role=\"img\" aria-label=\"locks taken under other locks\">\n<defs><marker id=\"to\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#8a93a0\"/></marker></defs>\n");
        foreach ((string from, string to) in edges)
        {
            (double x1, double y1) = Place(locks, from);
            (double x2, double y2) = Place(locks, to);
            double length = Math.Max(1, Math.Sqrt(((x2 - x1) * (x2 - x1)) + ((y2 - y1) * (y2 - y1))));
            bool isInCycle = waits.Contains((from, to)) || (cycle.Contains(from) && cycle.Contains(to));
            page.Append(CultureInfo.InvariantCulture, $"<line x1=\"{x1:F0}\" y1=\"{y1:F0}\" x2=\"{x2 - ((x2 - x1) / length * 12):F0}\" y2=\"{y2 - ((y2 - y1) / length * 12):F0}\" stroke=\"{(isInCycle ? "#d43a2f" : "#8a93a0")}\" stroke-width=\"1.5\" marker-end=\"url(#to)\"/>\n");
        }
        foreach (string name in locks)
        {
            (double x, double y) = Place(locks, name);
            page.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{x:F0}\" cy=\"{y:F0}\" r=\"7\" fill=\"{Colour(locks, name)}\"/><text x=\"{x + 12:F0}\" y=\"{y + 4:F0}\">{Safe(name)}</text>\n");
        }
        page.Append("</svg>\n");
    }

    private static (double X, double Y) Place(string[] locks, string name)
    {
        double angle = 2 * Math.PI * Array.IndexOf(locks, name) / locks.Length;
        return (GraphSize - 60 + (Math.Sin(angle) * GraphSize * 0.75), (GraphSize / 2) - (Math.Cos(angle) * GraphSize * 0.42));
    }
}

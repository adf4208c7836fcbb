using System.Globalization;
using System.Net;
using System.Text;
using Apvirt.Explore.Scenarios;
using Apvirt.Kernel.Validation;

namespace Apvirt.Cli.Rendering;

/// <summary>
/// A page of what exploring found, with nothing outside itself, for light and dark screens: for each violation the cycle of locks
/// as a cycle, a timeline with one lane for each caller, and the report in the form that kernel developers know.
/// </summary>
internal static class TimelineHtml
{
    private const int RowHeight = 24;
    private const int LaneWidthMin = 150;
    private const int Letter = 8;
    private const int WhereWidth = 430;
    private const int Left = 44;
    private const int BarWidth = 6;

    private const string Style = """
        :root { color-scheme: light dark; --text: #1c2330; --soft: #667085; --page: #f4f5f8; --card: #fff; --line: #dfe3ea; --row: #f7f8fb; --bad: #c6362b; --known: #9a6b00; --good: #1f7a4d }
        @media (prefers-color-scheme: dark) { :root { --text: #e2e7ef; --soft: #94a0b3; --page: #10141b; --card: #181e27; --line: #2c3542; --row: #1d242e; --bad: #ff7a6e; --known: #e8b84a; --good: #5ccf95 } }
        * { box-sizing: border-box } body { font: 15px/1.55 system-ui, sans-serif; margin: 0; color: var(--text); background: var(--page) }
        main { max-width: 76rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem } h1 { font-size: 1.6rem; margin: 0 0 .25rem; letter-spacing: -.01em }
        h2 { font-size: 1.1rem; margin: 0; overflow-wrap: anywhere } h3 { font-size: .8rem; text-transform: uppercase; letter-spacing: .06em; color: var(--soft); margin: 1.75rem 0 .5rem }
        p { margin: .25rem 0 } .soft { color: var(--soft) } code, pre, svg text { font: 12.5px/1.5 ui-monospace, Menlo, Consolas, monospace }
        .verdict { font-weight: 600 } .bad { color: var(--bad) } .known { color: var(--known) } .good { color: var(--good) }
        section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.4rem 1.5rem; margin-top: 1.5rem } section.bad { border-left: 4px solid var(--bad); color: inherit } section.known { border-left: 4px solid var(--known); color: inherit }
        ul { margin: .5rem 0; padding-left: 1.2rem } li { margin: .15rem 0; overflow-wrap: anywhere } .scroll { overflow-x: auto } svg { display: block } svg text { fill: var(--text) }
        .lane { font-weight: 700 } .number, .where { fill: var(--soft) } .row { fill: var(--row) } .rule { stroke: var(--line) } .wait { fill: var(--bad); font-weight: 700 }
        .node { fill: var(--card); stroke: var(--bad); stroke-width: 1.5 } .arc { fill: none; stroke: var(--bad); stroke-width: 2 } .tip { fill: var(--bad) } .who { font-weight: 700 } summary { cursor: pointer; color: var(--soft) }
        pre { overflow-x: auto; padding: 1rem; background: var(--row); border-radius: 8px }
        """;

    internal static string Text(Scenario scenario, ScenarioResult result)
    {
        StringBuilder page = new();
        string kind = result.Unpredicted.Any() ? "bad" : result.Violations.Count > 0 ? "known" : "good";
        page.Append(CultureInfo.InvariantCulture, $"""
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{Safe(scenario.About)}</title>
            <style>{Style}</style></head><body><main>
            <h1>{Safe(scenario.About)}</h1>
            <p class="verdict {kind}">{Safe(ExploreText.Verdict(result))}</p><p class="soft">under {Safe(scenario.Profile.Name)}</p>
            <ul>{string.Concat(scenario.Tasks.Select(task => $"<li><b>{Safe(task.Name)}</b>: {string.Join(", then ", task.Operations.Select(o => $"<code>{Safe(o)}</code>"))}</li>"))}</ul>

            """);
        SourceMap source = new();
        foreach (ScenarioViolation violation in result.Violations)
            Section(page, violation, source);
        return page.Append("</main></body></html>\n").ToString();
    }

    private static void Section(StringBuilder page, ScenarioViolation violation, SourceMap source)
    {
        page.Append(CultureInfo.InvariantCulture, $"<section class=\"{(violation.Finding is null ? "bad" : "known")}\"><h2>{Safe(ExploreText.Title(violation))}</h2>\n<p class=\"soft\">In {violation.Count} {(violation.Count == 1 ? "execution" : "executions")}; this is the one with the fewest switches.");
        page.Append(violation.Cycle is { } cycle ? $" {Safe(cycle.ToString())}." : "").Append("</p>\n");
        if (violation.Edges.Count > 0)
        {
            page.Append("<h3>Who holds what and wants what</h3>\n");
            CycleSvg.Append(page, violation.Edges);
            page.Append(CultureInfo.InvariantCulture, $"<ul>{string.Concat(violation.Edges.Select(edge => $"<li>{Safe(edge.ToString())}</li>"))}</ul>\n");
        }
        page.Append("<h3>What happened, step by step</h3>\n<div class=\"scroll\">");
        Timeline(page, violation.Schedule);
        page.Append("</div>\n");
        if (violation.Locks is { } locks)
            page.Append(CultureInfo.InvariantCulture, $"<h3>For a mail</h3>\n<details><summary>The validator's report</summary><pre>{Safe(LockReportText.Format(locks, source.FunctionAt))}</pre></details>\n");
        page.Append("</section>\n");
    }

    internal static string Safe(string text) => WebUtility.HtmlEncode(text);

    // A lock as a step has it says how it is held.
    private static string Class(string held) => held.Split('(')[0];

    private static string Colour(string[] locks, string held) =>
        $"hsl({Math.Max(0, Array.IndexOf(locks, Class(held))) * 360 / Math.Max(1, locks.Length)} 60% 52%)";

    private static void Timeline(StringBuilder page, Schedule schedule)
    {
        ScheduleStep[] steps = [.. schedule.Steps, .. schedule.Waits];
        string[] locks = [.. steps.SelectMany(step => step.Holds).Select(Class).Distinct(StringComparer.Ordinal)];
        string[] lanes = [.. schedule.Tasks];
        int laneWidth = steps.Select(step => ExploreText.Step(step).Length * Letter + (step.Holds.Count * (BarWidth + 2)) + 32).Append(LaneWidthMin).Max();
        int height = (steps.Length + 2) * RowHeight;
        int where = Left + (lanes.Length * laneWidth);
        int width = where + WhereWidth;
        page.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\" aria-label=\"timeline\">\n");
        for (int lane = 0; lane < lanes.Length; lane++)
            page.Append(CultureInfo.InvariantCulture, $"<text class=\"lane\" x=\"{Left + (lane * laneWidth)}\" y=\"16\">{Safe(lanes[lane])}</text><line class=\"rule\" x1=\"{Left + (lane * laneWidth) - 6}\" x2=\"{Left + (lane * laneWidth) - 6}\" y1=\"{RowHeight}\" y2=\"{height}\"/>\n");
        for (int i = 0; i < steps.Length; i++)
        {
            int y = (i + 1) * RowHeight;
            int lane = Array.IndexOf(lanes, steps[i].Task);
            if (i % 2 == 1)
                page.Append(CultureInfo.InvariantCulture, $"<rect class=\"row\" x=\"0\" y=\"{y}\" width=\"{width}\" height=\"{RowHeight}\"/>\n");
            bool waits = i >= schedule.Steps.Count;
            page.Append(CultureInfo.InvariantCulture, $"<text class=\"number\" x=\"6\" y=\"{y + 16}\">{(waits ? "" : i + 1)}</text>");
            for (int other = 0; other < lanes.Length; other++)
            {
                IReadOnlyList<string> holds = steps.Take(i + 1).LastOrDefault(step => step.Task == lanes[other])?.Holds ?? [];
                for (int held = 0; held < holds.Count; held++)
                    page.Append(CultureInfo.InvariantCulture, $"<rect x=\"{Left + (other * laneWidth) + (held * (BarWidth + 2))}\" y=\"{y}\" width=\"{BarWidth}\" height=\"{RowHeight}\" fill=\"{Colour(locks, holds[held])}\"><title>{Safe(holds[held])}</title></rect>");
            }
            string text = steps[i].Target.Length == 0 ? "goes on" : ExploreText.Step(steps[i]);
            page.Append(CultureInfo.InvariantCulture, $"<text{(waits ? " class=\"wait\"" : "")} x=\"{Left + (lane * laneWidth) + (Math.Max(1, steps[i].Holds.Count) * (BarWidth + 2)) + 4}\" y=\"{y + 16}\">{Safe(text)}{Title(steps[i])}</text>");
            if (steps[i].Site is { } site)
                page.Append(CultureInfo.InvariantCulture, $"<text class=\"where\" x=\"{where + 4}\" y=\"{y + 16}\">{Safe($"{site} {steps[i].Function}")}</text>");
            page.Append('\n');
        }
        page.Append("</svg>");
    }

    private static string Title(ScheduleStep step) => step.Held.Count == 0 ? "" : $"<title>{Safe("holding " + string.Join(", ", step.Held))}</title>";
}

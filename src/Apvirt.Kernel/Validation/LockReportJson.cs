using System.Text.Json.Nodes;
using Apvirt.Kernel.Locking;

namespace Apvirt.Kernel.Validation;

/// <summary>Reports and statistics as JSON, for programs.</summary>
public static class LockReportJson
{
    /// <summary>A report as an object.</summary>
    /// <param name="report">The report.</param>
    public static JsonObject Of(LockReport report) => new()
    {
        ["title"] = report.Title,
        ["acquisition"] = Of(report.Trace),
        ["cycle"] = Of(report.Cycle),
        ["lanes"] = new JsonArray([.. report.Lanes.Select(Of)]),
        ["stack"] = Of(report.Stack),
    };

    /// <summary>Statistics as an object.</summary>
    /// <param name="statistics">The statistics.</param>
    public static JsonObject Of(LockStatistics statistics) => new()
    {
        ["classes"] = new JsonArray(
        [
            .. statistics.Classes.Select(c => new JsonObject
            {
                ["name"] = c.Name, ["kind"] = c.Kind.ToString(), ["site"] = c.Site, ["outer"] = c.Outer, ["inner"] = c.Inner,
            }),
        ]),
        ["orders"] = new JsonArray(
        [
            .. statistics.Orders.Select(order => new JsonObject
            {
                ["outer"] = order.Outer,
                ["inner"] = order.Inner,
                ["types"] = order.Types,
                ["declared"] = order.Declared,
                ["first"] = order.First is null ? null : Of(order.First),
            }),
        ]),
        ["never_exercised"] = Of([.. statistics.NeverExercised.Select(order => $"{order.Outer} -> {order.Inner}")]),
        ["chains"] = statistics.Chains,
        ["acquisitions"] = statistics.Acquisitions,
        ["misses"] = statistics.Misses,
        ["deepest"] = statistics.Deepest,
    };

    private static JsonObject Of(LockLane lane) => new()
    {
        ["task"] = lane.Task,
        ["holds"] = Of(lane.Holds),
        ["wants"] = Of(lane.Wants),
        ["trace"] = lane.Trace is null ? null : Of(lane.Trace),
        ["declared"] = lane.Declared,
    };

    private static JsonObject Of(LockTrace trace) => new()
    {
        ["task"] = trace.Task,
        ["held"] = new JsonArray([.. trace.Held.Select(Of)]),
        ["taken"] = Of(trace.Taken),
    };

    private static JsonObject Of(TracedLock traced) => new()
    {
        ["class"] = traced.Class,
        ["mode"] = traced.Mode switch { LockMode.Write => "W", LockMode.Read => "r", _ => "R" },
        ["site"] = traced.Site.ToString(),
    };

    private static JsonArray Of(IReadOnlyList<string> texts) => new([.. texts.Select(text => JsonValue.Create(text))]);
}

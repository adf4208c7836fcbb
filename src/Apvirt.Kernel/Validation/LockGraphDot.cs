using System.Text;
using Apvirt.Kernel.Locking;

namespace Apvirt.Kernel.Validation;

/// <summary>
/// The graph of lock classes for Graphviz: solid what was observed and is declared, bold what was observed only, dashed
/// what is declared and never occurred, red what takes part in a reported cycle.
/// </summary>
public static class LockGraphDot
{
    /// <summary>Formats a graph.</summary>
    /// <param name="statistics">The classes and orders.</param>
    /// <param name="reports">Reports whose cycles are shown in red.</param>
    public static string Format(LockStatistics statistics, IReadOnlyList<LockReport> reports)
    {
        HashSet<(string, string)> red = [];
        foreach (LockReport report in reports)
        {
            foreach (LockLane lane in report.Lanes)
                red.Add((lane.Holds.Class, lane.Wants.Class));
        }
        StringBuilder text = new("digraph locks {\n  rankdir=TB;\n  node [shape=box, fontname=\"monospace\"];\n");
        foreach (LockClassStatistics lockClass in statistics.Classes)
            text.Append($"  {Quote(lockClass.Name)} [tooltip={Quote(lockClass.Site)}{Shape(lockClass.Kind)}];\n");
        foreach (LockOrderStatistics order in statistics.Orders)
        {
            string style = !order.IsObserved ? "dashed" : order.Declared is null ? "bold" : "solid";
            string colour = red.Contains((order.Outer, order.Inner)) ? ", color=red" : "";
            string label = order.IsObserved ? $", label={Quote(order.Types)}" : "";
            text.Append($"  {Quote(order.Outer)} -> {Quote(order.Inner)} [style={style}{colour}{label}];\n");
        }
        return text.Append("}\n").ToString();
    }

    private static string Shape(LockKind kind) => kind switch
    {
        LockKind.Spin => ", shape=diamond",
        LockKind.ActiveReference or LockKind.Wait => ", shape=ellipse",
        _ => "",
    };

    private static string Quote(string text) => $"\"{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";
}

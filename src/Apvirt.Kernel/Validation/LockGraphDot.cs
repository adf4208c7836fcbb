using System.Text;
using Apvirt.Kernel.Locking;

namespace Apvirt.Kernel.Validation;

/// <summary>
/// The graph of lock classes for Graphviz: solid what was observed and is declared, bold what was observed only, dashed
/// what is declared and never occurred, red what takes part in a reported cycle. For a person it is reduced: an order that
/// follows from others is left out, as is what is only declared, and a class that is left without any order.
/// </summary>
public static class LockGraphDot
{
    /// <summary>Formats a graph.</summary>
    /// <param name="statistics">The classes and orders.</param>
    /// <param name="reports">Reports whose cycles are shown in red.</param>
    /// <param name="isReduced">Whether it is for a person.</param>
    public static string Format(LockStatistics statistics, IReadOnlyList<LockReport> reports, bool isReduced)
    {
        HashSet<(string, string)> red = [];
        foreach (LockReport report in reports)
        {
            foreach (LockLane lane in report.Lanes)
                red.Add((lane.Holds.Class, lane.Wants.Class));
        }
        StringBuilder text = new("digraph locks {\n  rankdir=TB;\n  node [shape=box, fontname=\"monospace\"];\n");
        LockOrderStatistics[] orders = isReduced ? [.. Reduced([.. statistics.Orders.Where(order => order.IsObserved)], red)] : [.. statistics.Orders];
        HashSet<string> shown = [.. orders.SelectMany(order => (string[])[order.Outer, order.Inner])];
        foreach (LockClassStatistics lockClass in statistics.Classes.Where(lockClass => !isReduced || shown.Contains(lockClass.Name)))
            text.Append($"  {Quote(lockClass.Name)} [tooltip={Quote(lockClass.Site)}{Shape(lockClass.Kind)}];\n");
        foreach (LockOrderStatistics order in orders)
        {
            string style = !order.IsObserved ? "dashed" : order.Declared is null ? "bold" : "solid";
            string colour = red.Contains((order.Outer, order.Inner)) ? ", color=red" : "";
            string label = order.IsObserved ? $", label={Quote(order.Types)}" : "";
            text.Append($"  {Quote(order.Outer)} -> {Quote(order.Inner)} [style={style}{colour}{label}];\n");
        }
        return text.Append("}\n").ToString();
    }

    // What leads from one class to another by a way of several orders needs no arrow of its own. What is in a cycle stays.
    private static IEnumerable<LockOrderStatistics> Reduced(LockOrderStatistics[] orders, HashSet<(string, string)> red)
    {
        ILookup<string, string> inner = orders.ToLookup(order => order.Outer, order => order.Inner, StringComparer.Ordinal);
        return orders.Where(order => red.Contains((order.Outer, order.Inner)) || !inner[order.Outer].Any(via => via != order.Inner && via != order.Outer && Leads(inner, via, order.Inner, order.Outer)));
    }

    private static bool Leads(ILookup<string, string> inner, string from, string to, string without)
    {
        HashSet<string> seen = [without, from];
        Stack<string> left = new([from]);
        while (left.TryPop(out string? at))
        {
            foreach (string next in inner[at])
            {
                if (next == to)
                    return true;
                if (seen.Add(next))
                    left.Push(next);
            }
        }
        return false;
    }

    private static string Shape(LockKind kind) => kind switch
    {
        LockKind.Spin => ", shape=diamond",
        LockKind.ActiveReference or LockKind.Wait => ", shape=ellipse",
        _ => "",
    };

    private static string Quote(string text) => $"\"{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";
}

using System.Globalization;
using System.Text;
using Apvirt.Explore.Scenarios;

namespace Apvirt.Cli.Rendering;

/// <summary>
/// A cycle of locks, drawn as one: the locks on a circle, and from each an arrow to the next that says who holds the one and wants
/// the other, and where.
/// </summary>
internal static class CycleSvg
{
    private const int Width = 980;
    private const int Radius = 105;
    private const int Letter = 8;
    private const int NodeHeight = 28;
    private const int LineHeight = 17;

    internal static void Append(StringBuilder page, IReadOnlyList<LockEdge> edges)
    {
        int radius = Radius + (Math.Max(0, edges.Count - 3) * 22);
        int height = (2 * radius) + 110;
        (double X, double Y) centre = (Width / 2.0, height / 2.0);
        page.Append(CultureInfo.InvariantCulture, $"<div class=\"scroll\"><svg viewBox=\"0 0 {Width} {height}\" width=\"{Width}\" role=\"img\" aria-label=\"cycle of locks\">\n<defs><marker id=\"tip\" viewBox=\"0 0 10 10\" refX=\"8\" refY=\"5\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path class=\"tip\" d=\"M0 0 10 5 0 10z\"/></marker></defs>\n");
        for (int i = 0; i < edges.Count; i++)
            Arc(page, edges[i], centre, radius, Angle(i, edges.Count), Angle(i + 1, edges.Count));
        for (int i = 0; i < edges.Count; i++)
            Node(page, edges[i].Holds.Lock, Place(centre, radius, Angle(i, edges.Count)));
        page.Append("</svg></div>\n");
    }

    // The first lock is on top; of two, one is on the left and the other on the right, so that the arrows have room for what they say.
    private static double Angle(int node, int nodes) => (nodes == 2 ? Math.PI : -Math.PI / 2) + (2 * Math.PI * node / nodes);

    private static (double X, double Y) Place((double X, double Y) centre, double radius, double angle) =>
        (centre.X + (radius * 1.35 * Math.Cos(angle)), centre.Y + (radius * Math.Sin(angle)));

    private static void Arc(StringBuilder page, LockEdge edge, (double X, double Y) centre, double radius, double from, double to)
    {
        // As far from both locks as their boxes are high.
        double gap = Math.Min(0.36, (to - from) / 4);
        (double X, double Y) begin = Place(centre, radius, from + gap);
        (double X, double Y) end = Place(centre, radius, to - gap);
        page.Append(CultureInfo.InvariantCulture, $"<path class=\"arc\" d=\"M{begin.X:F0} {begin.Y:F0} A{radius * 1.35:F0} {radius:F0} 0 0 1 {end.X:F0} {end.Y:F0}\" marker-end=\"url(#tip)\"/>\n");
        double middle = (from + to) / 2;
        (double X, double Y) label = Place(centre, radius + 16, middle);
        string anchor = Math.Cos(middle) > 0.2 ? "start" : Math.Cos(middle) < -0.2 ? "end" : "middle";
        double top = label.Y + (Math.Sin(middle) > 0.2 ? 10 : Math.Sin(middle) < -0.2 ? -LineHeight : -4);
        Line(page, "who", $"{edge.Task ?? "(declared)"} wants {edge.Wants.Lock}", label.X, top, anchor);
        Line(page, "where", $"{edge.Wants.Site} {edge.Wants.Function}", label.X, top + LineHeight, anchor);
    }

    private static void Node(StringBuilder page, string name, (double X, double Y) at)
    {
        int width = (name.Length * Letter) + 22;
        page.Append(CultureInfo.InvariantCulture, $"<rect class=\"node\" x=\"{at.X - (width / 2.0):F0}\" y=\"{at.Y - (NodeHeight / 2.0):F0}\" width=\"{width}\" height=\"{NodeHeight}\" rx=\"7\"/>");
        Line(page, "who", name, at.X, at.Y + 4, "middle");
    }

    private static void Line(StringBuilder page, string kind, string text, double x, double y, string anchor) =>
        page.Append(CultureInfo.InvariantCulture, $"<text class=\"{kind}\" x=\"{x:F0}\" y=\"{y:F0}\" text-anchor=\"{anchor}\">{TimelineHtml.Safe(text.TrimEnd())}</text>\n");
}

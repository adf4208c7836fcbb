using Apvirt.Kernel.Locking;

namespace Apvirt.Kernel.Validation;

/// <summary>
/// How one lock depends on another: the first letter says whether the held one is exclusive or shared, the second
/// whether the taken one is taken by a recursive reader (reference/lockdep.md, EN/ER/SN/SR). A recursive reader does not
/// wait for shared holders, so a path is strong, and can deadlock, only if no xR is followed by Sx.
/// </summary>
[Flags]
internal enum Dependencies
{
    None = 0,
    ExclusiveToNormal = 1,
    ExclusiveToRecursive = 2,
    SharedToNormal = 4,
    SharedToRecursive = 8,
}

/// <summary>Questions about <see cref="Dependencies"/>.</summary>
internal static class DependencyBits
{
    internal static bool HasAny(this Dependencies types, Dependencies wanted) => (types & wanted) != Dependencies.None;
}

/// <summary>A class of locks in the graph.</summary>
internal sealed class LockNode(int id, string name)
{
    internal int Id { get; } = id;

    internal string Name { get; } = name;

    /// <summary>The class; null for a name that is declared and was never used.</summary>
    internal LockClass? Class { get; set; }

    internal long Acquisitions { get; set; }

    internal List<LockEdge> Out { get; } = [];

    internal List<LockEdge> In { get; } = [];
}

/// <summary>One class taken while another is held: observed, declared, or both.</summary>
internal sealed class LockEdge(LockNode from, LockNode to)
{
    internal LockNode From { get; } = from;

    internal LockNode To { get; } = to;

    /// <summary>What was observed, or follows from the declaration.</summary>
    internal Dependencies Types { get; set; }

    /// <summary>Where the order is declared, null if it is not.</summary>
    internal string? Declared { get; init; }

    /// <summary>Who took the locks in this order first; null for an edge that is only declared.</summary>
    internal LockTrace? First { get; set; }

    /// <summary>The finding that predicts the order; null if none does, or somebody has taken the locks so without it.</summary>
    internal string? Finding { get; set; }
}

/// <summary>The graph of lock classes. All of it is under the validator's gate.</summary>
internal sealed class LockGraph
{
    private readonly Dictionary<string, LockNode> _nodes = new(StringComparer.Ordinal);
    private readonly Dictionary<(int From, int To), LockEdge> _edges = [];

    internal LockGraph(DeclaredOrder order)
    {
        foreach (OrderEdge edge in order.Edges)
        {
            LockNode from = Node(edge.Outer);
            LockNode to = Node(edge.Inner);
            Add(new LockEdge(from, to) { Declared = edge.Where, Types = Dependencies.ExclusiveToNormal });
        }
    }

    internal IReadOnlyCollection<LockNode> Nodes => _nodes.Values;

    internal IReadOnlyCollection<LockEdge> Edges => _edges.Values;

    internal LockNode Node(LockClass lockClass)
    {
        LockNode node = Node(lockClass.Name);
        node.Class ??= lockClass;
        return node;
    }

    internal LockNode? Find(string name) => _nodes.GetValueOrDefault(name);

    internal LockEdge Edge(LockNode from, LockNode to)
    {
        if (_edges.TryGetValue((from.Id, to.Id), out LockEdge? edge))
            return edge;
        edge = new LockEdge(from, to);
        Add(edge);
        return edge;
    }

    /// <summary>
    /// The minimal strong cycles that a new dependency closes, shortest first: no cycle's locks contain those of a
    /// shorter one.
    /// </summary>
    internal List<LockEdge[]> CyclesThrough(LockEdge edge, Dependencies type, int lengthMax)
    {
        CycleSearch search = new(edge, type, _nodes.Count);
        List<LockEdge[]> cycles = [];
        for (int length = 2; length <= lengthMax && search.CanBeLonger(length); length++)
            search.Find(length, cycles);
        return cycles;
    }

    private LockNode Node(string name)
    {
        if (!_nodes.TryGetValue(name, out LockNode? node))
            _nodes.Add(name, node = new LockNode(_nodes.Count, name));
        return node;
    }

    private void Add(LockEdge edge)
    {
        _edges.Add((edge.From.Id, edge.To.Id), edge);
        edge.From.Out.Add(edge);
        edge.To.In.Add(edge);
    }
}

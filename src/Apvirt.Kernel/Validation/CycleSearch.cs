namespace Apvirt.Kernel.Validation;

/// <summary>
/// Finds the cycles that a new edge closes. First a search backwards in breadth says which nodes can reach the edge's
/// begin and how far they are, so that the search in depth for one length never leaves the way.
/// </summary>
internal sealed class CycleSearch
{
    private const int Unreachable = int.MaxValue;
    private const int CyclesMax = 64;

    private readonly LockEdge _closing;
    private readonly Dependencies _type;
    private readonly int[] _distance;
    private readonly int _longest;
    private readonly List<LockEdge> _path = [];
    private readonly HashSet<int> _onPath = [];

    internal CycleSearch(LockEdge closing, Dependencies type, int nodeCount)
    {
        _closing = closing;
        _type = type;
        _longest = nodeCount;
        _distance = new int[nodeCount];
        Array.Fill(_distance, Unreachable);
        MeasureTo(closing.From);
    }

    /// <summary>Whether there can be cycles of a number of edges.</summary>
    internal bool CanBeLonger(int length) => _distance[_closing.To.Id] != Unreachable && length <= _longest;

    /// <summary>Adds the cycles of exactly so many edges whose locks are not those of a found one and more.</summary>
    internal void Find(int length, List<LockEdge[]> cycles)
    {
        if (_distance[_closing.To.Id] > length - 1)
            return;
        _path.Clear();
        _onPath.Clear();
        _path.Add(_closing);
        _onPath.Add(_closing.From.Id);
        Extend(_closing.To, IsRecursive(_type), length, cycles);
    }

    // Number of edges from each node to the closing edge's begin, by edges of any strength.
    private void MeasureTo(LockNode end)
    {
        Queue<LockNode> reached = new();
        _distance[end.Id] = 0;
        reached.Enqueue(end);
        while (reached.TryDequeue(out LockNode? node))
        {
            foreach (LockEdge edge in node.In)
            {
                if (edge == _closing || edge.Types == Dependencies.None || _distance[edge.From.Id] != Unreachable)
                    continue;
                _distance[edge.From.Id] = _distance[node.Id] + 1;
                reached.Enqueue(edge.From);
            }
        }
    }

    private void Extend(LockNode at, bool arrivedRecursive, int length, List<LockEdge[]> cycles)
    {
        if (cycles.Count == CyclesMax)
            return;
        if (at == _closing.From)
        {
            bool isStrong = !(arrivedRecursive && IsShared(_type));
            if (_path.Count == length && isStrong && !ContainsFound(cycles))
                cycles.Add([.. _path]);
            return;
        }
        if (_distance[at.Id] == Unreachable || _path.Count + _distance[at.Id] > length || !_onPath.Add(at.Id))
            return;
        foreach (LockEdge edge in at.Out)
        {
            foreach (Dependencies type in Strongest(edge.Types, arrivedRecursive))
            {
                _path.Add(edge);
                Extend(edge.To, IsRecursive(type), length, cycles);
                _path.RemoveAt(_path.Count - 1);
            }
        }
        _onPath.Remove(at.Id);
    }

    // Of the dependencies along an edge that keep the path strong, the one that leaves most open; both if they differ in that.
    private static IEnumerable<Dependencies> Strongest(Dependencies types, bool arrivedRecursive)
    {
        if (types.HasAny(Dependencies.ExclusiveToNormal) || (!arrivedRecursive && types.HasAny(Dependencies.SharedToNormal)))
            yield return Dependencies.ExclusiveToNormal;
        else if (types.HasAny(Dependencies.ExclusiveToRecursive) || (!arrivedRecursive && types.HasAny(Dependencies.SharedToRecursive)))
            yield return Dependencies.ExclusiveToRecursive;
    }

    private bool ContainsFound(List<LockEdge[]> cycles)
    {
        HashSet<int> nodes = [.. _path.Select(edge => edge.From.Id)];
        return cycles.Exists(cycle => cycle.All(edge => nodes.Contains(edge.From.Id)));
    }

    private static bool IsRecursive(Dependencies type) => type.HasAny(Dependencies.ExclusiveToRecursive | Dependencies.SharedToRecursive);

    private static bool IsShared(Dependencies type) => type.HasAny(Dependencies.SharedToNormal | Dependencies.SharedToRecursive);
}

using Apvirt.Kernel.Locking;

namespace Apvirt.Kernel.Validation;

/// <summary>A class of locks that was used.</summary>
/// <param name="Name">Canonical name.</param>
/// <param name="Kind">What kind of lock.</param>
/// <param name="Site">Where it is declared.</param>
/// <param name="Outer">Number of classes that were held while one of it was taken.</param>
/// <param name="Inner">Number of classes that were taken while one of it was held.</param>
public sealed record LockClassStatistics(string Name, LockKind Kind, string Site, int Outer, int Inner);

/// <summary>An order of two classes that was observed or is declared.</summary>
/// <param name="Outer">The class that is held.</param>
/// <param name="Inner">The class that is taken.</param>
/// <param name="Types">The dependencies of reference/lockdep.md, such as <c>EN SN</c>; empty if it never occurred.</param>
/// <param name="Declared">Where it is declared, null if it is not.</param>
/// <param name="First">Who took it first, null if it never occurred.</param>
public sealed record LockOrderStatistics(string Outer, string Inner, string Types, string? Declared, LockTrace? First)
{
    /// <summary>The finding whose deviation everybody had taken who took the locks in this order; null if somebody had not.</summary>
    public string? Finding { get; init; }

    /// <summary>Whether the order occurred.</summary>
    public bool IsObserved => First is not null;
}

/// <summary>What the lock validator has learnt: its <c>/proc/lockdep</c>. A picture of one moment.</summary>
public sealed class LockStatistics
{
    internal LockStatistics(LockGraph graph, DeclaredOrder order, int chains, long acquisitions, long misses, int deepest)
    {
        Classes =
        [
            .. graph.Nodes.Where(node => node.Class is not null)
                .Select(node => new LockClassStatistics(
                    node.Name, node.Class!.Kind, node.Class.Site,
                    node.In.Count(edge => edge.First is not null), node.Out.Count(edge => edge.First is not null)))
                .OrderBy(node => node.Name, StringComparer.Ordinal),
        ];
        Orders =
        [
            .. graph.Edges
                .Select(edge => new LockOrderStatistics(
                    edge.From.Name, edge.To.Name, edge.First is null ? "" : Text(edge.Types), edge.Declared, edge.First) { Finding = edge.Finding })
                .OrderBy(edge => edge.Outer, StringComparer.Ordinal).ThenBy(edge => edge.Inner, StringComparer.Ordinal),
        ];
        DeclaredCount = order.Edges.Count;
        Chains = chains;
        Acquisitions = acquisitions;
        Misses = misses;
        Deepest = deepest;
    }

    /// <summary>The classes that were used, by name.</summary>
    public IReadOnlyList<LockClassStatistics> Classes { get; }

    /// <summary>The orders that were observed or are declared, by name.</summary>
    public IReadOnlyList<LockOrderStatistics> Orders { get; }

    /// <summary>Number of declared orders.</summary>
    public int DeclaredCount { get; }

    /// <summary>Number of different chains of held locks.</summary>
    public int Chains { get; }

    /// <summary>Number of acquisitions, those of tasks that run counted up to their last new chain.</summary>
    public long Acquisitions { get; }

    /// <summary>Acquisitions whose chain had to be looked at.</summary>
    public long Misses { get; }

    /// <summary>The most locks that one task held.</summary>
    public int Deepest { get; }

    /// <summary>The declared orders that never occurred: what the runs so far did not reach.</summary>
    public IReadOnlyList<LockOrderStatistics> NeverExercised => [.. Orders.Where(order => order.Declared is not null && !order.IsObserved)];

    private static string Text(Dependencies types)
    {
        List<string> names = [];
        if (types.HasAny(Dependencies.ExclusiveToNormal))
            names.Add("EN");
        if (types.HasAny(Dependencies.ExclusiveToRecursive))
            names.Add("ER");
        if (types.HasAny(Dependencies.SharedToNormal))
            names.Add("SN");
        if (types.HasAny(Dependencies.SharedToRecursive))
            names.Add("SR");
        return string.Join(' ', names);
    }
}

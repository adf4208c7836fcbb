namespace Apvirt.Kernel.Validation;

/// <summary>A documented order: one class of lock is taken while another is held.</summary>
/// <param name="Outer">Name of the class that is held.</param>
/// <param name="Inner">Name of the class that is taken.</param>
/// <param name="Where">Where that happens.</param>
public sealed record OrderEdge(string Outer, string Inner, string Where);

/// <summary>
/// The documented hierarchy of lock classes as data (locking.md §3). Every acquisition is checked against it, so a wrong
/// order is found by one task that takes it once, not only by two that take both orders.
/// </summary>
/// <param name="Edges">Orders that are allowed; what they imply is allowed too.</param>
/// <param name="Forbidden">Orders that must never appear, with the reason.</param>
public sealed record DeclaredOrder(IReadOnlyList<OrderEdge> Edges, IReadOnlyList<OrderEdge> Forbidden)
{
    /// <summary>Nothing is declared.</summary>
    public static DeclaredOrder None { get; } = new([], []);
}

/// <summary>What the lock validator looks at.</summary>
public sealed record LockValidatorOptions
{
    /// <summary>Whether locks must be released innermost first (M041, I28).</summary>
    public bool RequiresLifo { get; init; } = true;

    /// <summary>Whether each hit of the chain cache is compared with the stored chain; for tests of the cache itself.</summary>
    public bool VerifiesChains { get; init; }

    /// <summary>The most chains that are remembered; beyond, a chain is looked at each time it occurs.</summary>
    public int ChainsMax { get; init; } = 1 << 20;

    /// <summary>The most locks in a reported cycle.</summary>
    public int CycleLengthMax { get; init; } = 16;
}

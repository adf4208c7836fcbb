namespace Apvirt.Kernel.Checking;

/// <summary>The violations that checks have found. Checking goes on after each; its memory is bounded.</summary>
public sealed class ViolationLog
{
    /// <summary>The most violations that are kept; later ones are only counted.</summary>
    public const int Capacity = 1000;

    // Guards the fields below; a leaf.
    private readonly Lock _gate = new();
    private readonly List<Violation> _kept = [];
    private readonly HashSet<(string Rule, string Summary, string? Finding)> _known = [];
    private long _count;

    /// <summary>How often a rule was seen broken, repetitions included.</summary>
    public long Count => Interlocked.Read(ref _count);

    /// <summary>Whether nothing was found.</summary>
    public bool IsEmpty => Count == 0;

    /// <summary>Whether there are any since they were last forgotten.</summary>
    public bool HasAny
    {
        get
        {
            lock (_gate)
                return _kept.Count > 0;
        }
    }

    /// <summary>The different violations so far, in the order in which they were found.</summary>
    public Violation[] ToArray()
    {
        lock (_gate)
            return [.. _kept];
    }

    /// <summary>Forgets all violations, so that the next execution reports its own.</summary>
    public void Clear()
    {
        lock (_gate)
        {
            _kept.Clear();
            _known.Clear();
        }
    }

    /// <summary>Adds a violation unless it is known.</summary>
    /// <param name="violation">The violation.</param>
    /// <returns>Whether it is new.</returns>
    public bool Add(Violation violation)
    {
        Interlocked.Increment(ref _count);
        lock (_gate)
        {
            if (_kept.Count == Capacity || !_known.Add((violation.Rule, violation.Summary, violation.Finding)))
                return false;
            _kept.Add(violation);
        }
        return true;
    }

    /// <summary>The invariant that states the rule of a kind (invariants.md), or what a kernel developer calls it.</summary>
    internal static string RuleOf(ViolationKind kind) => kind switch
    {
        ViolationKind.UnlockBalance or ViolationKind.ReleaseOrder or ViolationKind.HeldAtReturn => "I28",
        ViolationKind.CircularLocking or ViolationKind.RecursiveLocking or ViolationKind.NestingOrder or ViolationKind.ForbiddenOrder => "I27",
        ViolationKind.Guard => "I26",
        ViolationKind.WaitContext => "wait context",
        ViolationKind.Assertion or ViolationKind.PinnedLock => "assertion",
        ViolationKind.Linearizability => "V06",
        _ => "lifetime",
    };
}

namespace Apvirt.Kernel.Checking;

/// <summary>What kind of rule was broken.</summary>
public enum ViolationKind
{
    /// <summary>Lock classes are taken in orders that can deadlock (invariant I27).</summary>
    CircularLocking,
    /// <summary>A task takes a lock of a class that it holds already.</summary>
    RecursiveLocking,
    /// <summary>Two locks of one class are taken against their order.</summary>
    NestingOrder,
    /// <summary>An order that locking.md §3 forbids.</summary>
    ForbiddenOrder,
    /// <summary>A sleeping lock is taken inside a section that must not sleep.</summary>
    WaitContext,
    /// <summary>A lock is released by a task that does not hold it (invariant I28).</summary>
    UnlockBalance,
    /// <summary>Locks are not released innermost first (M041).</summary>
    ReleaseOrder,
    /// <summary>A task ends an operation with locks held (invariant I28).</summary>
    HeldAtReturn,
    /// <summary>A lock is destroyed while it is held.</summary>
    HeldLockFreed,
    /// <summary>A lock is initialised while it is held.</summary>
    HeldLockInitialised,
    /// <summary>A lock is used whose object is gone.</summary>
    RetiredLock,
    /// <summary>A lock that must stay held is released.</summary>
    PinnedLock,
    /// <summary>A lock is held, or not held, where the code says otherwise.</summary>
    Assertion,
    /// <summary>A field is used without the locks that guard it (invariant I26).</summary>
    Guard,
    /// <summary>A field is accessed by two tasks, at least one of which writes, and nothing orders the two.</summary>
    DataRace,
    /// <summary>Something is used after its end, or ends with something left over.</summary>
    Lifetime,
    /// <summary>A statement of invariants.md does not hold.</summary>
    Invariant,
    /// <summary>Concurrent operations answered as no order of them one after another would (invariant V06).</summary>
    Linearizability,
}

/// <summary>One broken rule. The same one is kept once, however often it is seen.</summary>
/// <param name="Kind">What kind of rule.</param>
/// <param name="Rule">The rule's name: an invariant's number, a guarded field.</param>
/// <param name="Summary">What happened, in a line; two violations with the same rule, summary and finding are the same.</param>
/// <param name="Task">Who did it.</param>
/// <param name="Details">More lines for a person, empty if there are none.</param>
public sealed record Violation(ViolationKind Kind, string Rule, string Summary, string Task, string Details = "")
{
    /// <summary>The finding of invariants.md or QUIRKS.md that predicts it for the profile in use; null if nothing does.</summary>
    public string? Finding { get; init; }

    /// <summary>What is known of the locks, where the violation is about an order of them.</summary>
    public Validation.LockReport? Locks { get; init; }

    /// <summary>The violation in a line.</summary>
    public override string ToString() =>
        $"{Rule}{(Finding is null ? "" : $" ({Finding})")}: {Summary}{(Task.Length == 0 ? "" : $" [{Task}]")}";
}

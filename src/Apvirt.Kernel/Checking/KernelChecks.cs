using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Validation;

namespace Apvirt.Kernel.Checking;

/// <summary>
/// What is checked while the kernel runs: lock orders, guards of fields, lifetimes. A runtime without one checks nothing
/// and pays a predictable branch for it. One object may serve several runtimes: orders are then learnt from all of them.
/// </summary>
public sealed class KernelChecks
{
    /// <summary>Makes checks that have seen nothing.</summary>
    /// <param name="order">The order that is declared; null if none is.</param>
    /// <param name="options">What the lock validator looks at.</param>
    public KernelChecks(DeclaredOrder? order = null, LockValidatorOptions? options = null) =>
        Locks = new LockValidator(Violations, order ?? DeclaredOrder.None, options ?? new LockValidatorOptions());

    /// <summary>What was found.</summary>
    public ViolationLog Violations { get; } = new();

    /// <summary>The lock validator.</summary>
    public LockValidator Locks { get; }

    /// <summary>A task takes a deviation: what that is known to break is predicted from now on.</summary>
    /// <param name="task">The task.</param>
    /// <param name="deviation">What is known of it.</param>
    public void Deviated(KernelTask task, Deviation deviation)
    {
        task.Deviates(deviation);
        task.Runtime.Deviations.Take(deviation);
    }

    /// <summary>The finding that predicts that a task shows a rule to be broken now; null if none does.</summary>
    /// <param name="task">The task.</param>
    /// <param name="rule">The rule.</param>
    public string? FindingOf(KernelTask task, string rule) => task.FindingOf(rule) ?? task.Runtime.Deviations.FindingOf(rule);

    /// <summary>Adds a violation. Whether a finding predicts it follows from the deviations that were taken.</summary>
    /// <param name="task">Who shows it.</param>
    /// <param name="kind">What kind of rule.</param>
    /// <param name="rule">The rule's name.</param>
    /// <param name="summary">What happened, in a line.</param>
    /// <param name="details">More lines for a person.</param>
    /// <returns>Whether it is new.</returns>
    public bool Report(KernelTask task, ViolationKind kind, string rule, string summary, string details = "") =>
        Violations.Add(new Violation(kind, rule, summary, task.Name, details) { Finding = FindingOf(task, rule) });

    internal bool Report(KernelTask task, ViolationKind kind, string summary) => Report(task, kind, ViolationLog.RuleOf(kind), summary);
}

/// <summary>Is told where guarded state may be looked at: after a task has released a lock (invariants.md, points [S], [U], [G]).</summary>
public interface ICheckPoints
{
    /// <summary>A guarded field is being written.</summary>
    /// <param name="rule">Its rule.</param>
    void Written(GuardRule rule);

    /// <summary>A task has released a lock.</summary>
    /// <param name="task">The task.</param>
    void Released(KernelTask task);
}

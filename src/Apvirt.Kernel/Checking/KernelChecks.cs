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

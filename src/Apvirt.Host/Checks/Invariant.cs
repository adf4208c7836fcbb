using Apvirt.Host.Machines;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Host.Checks;

/// <summary>Where an invariant must hold (invariants.md).</summary>
public enum CheckPoint
{
    /// <summary>[S] Whenever a lock was released after a guarded write.</summary>
    Step,
    /// <summary>[G] The same, but only while guests_lock and mdevs_lock are free.</summary>
    Unlocked,
    /// <summary>[Q] At the end of an operation while nothing else is under way.</summary>
    Rest,
}

/// <summary>What an invariant looks at, and where it reports.</summary>
/// <param name="Host">The host, whose state stands still during the check.</param>
/// <param name="Task">Whose step led here.</param>
/// <param name="Rule">The invariant's number.</param>
public readonly record struct InvariantContext(VirtualHost Host, KernelTask Task, string Rule)
{
    /// <summary>Whether a part of the host is not in the middle of a change. If it is, the invariant is looked at again after the next release.</summary>
    /// <param name="isChanging">Whether the lock of the part is held.</param>
    public bool IsStill(bool isChanging)
    {
        if (isChanging)
            Host.Checks?.Postpone();
        return !isChanging;
    }

    /// <summary>Reports that the invariant does not hold. A deviation that was taken and breaks it predicts that.</summary>
    /// <param name="summary">What is wrong.</param>
    public void Report(string summary) => Task.Checks!.Report(Task, ViolationKind.Invariant, Rule, summary);

    /// <summary>Reports that the invariant does not hold in a way to which no known deviation leads, whatever was taken.</summary>
    /// <param name="summary">What is wrong.</param>
    public void ReportUnpredicted(string summary) =>
        Task.Checks!.Violations.Add(new Violation(ViolationKind.Invariant, Rule, summary, Task.Name));
}

/// <summary>One statement of invariants.md.</summary>
/// <param name="id">Its number.</param>
/// <param name="statement">What must hold, in a line.</param>
/// <param name="point">Where it must hold.</param>
public abstract class Invariant(string id, string statement, CheckPoint point)
{
    /// <summary>Number in invariants.md.</summary>
    public string Id { get; } = id;

    /// <summary>What must hold.</summary>
    public string Statement { get; } = statement;

    /// <summary>Where it must hold.</summary>
    public CheckPoint Point { get; } = point;

    /// <summary>Names of the guarded fields that it depends on: looked at only after one of them was written; all if empty.</summary>
    public virtual IReadOnlyList<string> DependsOn => [];

    /// <summary>Looks whether it holds now.</summary>
    /// <param name="context">What to look at.</param>
    public abstract void Check(InvariantContext context);
}

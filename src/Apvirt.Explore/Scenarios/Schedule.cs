using System.Text.Json.Serialization;

namespace Apvirt.Explore.Scenarios;

/// <summary>A lock that a task holds or wants.</summary>
/// <param name="Lock">Class of the lock, and how it is held.</param>
/// <param name="Site">Where it is asked for, as file:line.</param>
/// <param name="Function">In which function, by its Linux name if it has one; null if not known.</param>
public sealed record HeldAt(string Lock, string Site, string? Function)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Lock} at {Site}{(Function is null ? "" : $" ({Function})")}";
}

/// <summary>Who holds a lock that another waits for.</summary>
/// <param name="Task">Who.</param>
/// <param name="Held">The lock, and where it was taken.</param>
public sealed record LockOwner(string Task, HeldAt Held);

/// <summary>An edge of a cycle of locks: a task holds one and wants another.</summary>
/// <param name="Task">Who; null if the order is only declared.</param>
/// <param name="Holds">What it holds.</param>
/// <param name="Wants">What it wants.</param>
public sealed record LockEdge(string? Task, HeldAt Holds, HeldAt Wants)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Task ?? "(declared)"} holds {Holds} and wants {Wants}";
}

/// <summary>One step of a schedule.</summary>
/// <param name="Task">The caller, or what it started.</param>
/// <param name="Action">What it does: acquires, acquires shared, tries, tries shared, enters, deletes, goes on; where it matters releases, reads, writes. Waits for, where it does not come to it.</param>
/// <param name="Target">Class of the lock, or the field; empty if there is none.</param>
public sealed record ScheduleStep(string Task, string Action, string Target)
{
    /// <summary>The operation that the caller is in, from 0; -1 if it is no caller.</summary>
    public int Operation { get; init; } = -1;

    /// <summary>Locks that the task holds after the step, outermost first.</summary>
    public IReadOnlyList<string> Holds { get; init; } = [];

    /// <summary>Locks that the task holds when it has just done what the step begins with, outermost first: at an acquisition the one acquired too.</summary>
    public IReadOnlyList<HeldAt> Held { get; init; } = [];

    /// <summary>Who holds the lock, where it waits for one for ever.</summary>
    public IReadOnlyList<LockOwner> Owners { get; init; } = [];

    /// <summary>Where in the source it does that, as file:line; null where no lock and no wait is asked for.</summary>
    public string? Site { get; init; }

    /// <summary>In which function, by its Linux name if it has one; null if not known.</summary>
    public string? Function { get; init; }

    /// <summary>Whether it is the same step, whatever is known of what came of it.</summary>
    /// <param name="other">The other.</param>
    public bool IsSameAs(ScheduleStep other) => Task == other.Task && Action == other.Action && Target == other.Target;

    /// <inheritdoc/>
    public override string ToString() => Target.Length == 0 ? $"{Task} {Action}" : $"{Task} {Action} {Target}";
}

/// <summary>The steps of one execution. They name tasks and locks, so that they outlive changes of the code that do not change what it does.</summary>
/// <param name="Steps">The steps.</param>
public sealed record Schedule(IReadOnlyList<ScheduleStep> Steps)
{
    /// <summary>
    /// The fields before whose accesses there are points too, beside those before acquisitions; <see cref="Everywhere"/> for
    /// those before all accesses and releases; null for none.
    /// </summary>
    public IReadOnlyList<string>? Points { get; init; }

    /// <summary>What tasks wait for when nobody can step any more and they have not ended.</summary>
    public IReadOnlyList<ScheduleStep> Waits { get; init; } = [];

    /// <summary>The tasks, in the order of their first steps.</summary>
    [JsonIgnore]
    public IReadOnlyList<string> Tasks => [.. Steps.Concat(Waits).Select(step => step.Task).Distinct(StringComparer.Ordinal)];

    /// <summary>Points before all releases and accesses.</summary>
    public static IReadOnlyList<string> Everywhere { get; } = ["*"];

    /// <summary>How many times another task goes on than the one before.</summary>
    [JsonIgnore]
    public int Switches => Enumerable.Range(1, Math.Max(0, Steps.Count - 1)).Count(i => Steps[i].Task != Steps[i - 1].Task);

    /// <summary>Whether it is easier to read: fewer switches, then fewer steps; otherwise the same one is always taken.</summary>
    /// <param name="other">The other.</param>
    public bool IsSimplerThan(Schedule other) =>
        (Switches, Steps.Count) != (other.Switches, other.Steps.Count)
            ? (Switches, Steps.Count).CompareTo((other.Switches, other.Steps.Count)) < 0
            : string.CompareOrdinal(string.Join('\n', Steps), string.Join('\n', other.Steps)) < 0;
}

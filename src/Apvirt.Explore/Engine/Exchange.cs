namespace Apvirt.Explore.Engine;

/// <summary>
/// Callers that do the same in the same order can be exchanged: of executions that differ in which of them is which, one is
/// enough. So their turns are taken in the order of their numbers. A caller's turn is one of its steps, always the same by count,
/// or its end if it comes to that first; whatever happens in an execution, it can be told with the callers numbered by their turns.
/// </summary>
/// <remarks>
/// Any step will do. What saves most is the first one that conflicts with itself, such as the first acquisition of a mutex: its
/// order among the callers is part of the trace, so that k callers have about k! fewer.
/// </remarks>
/// <param name="Before">By task: the one whose turn comes before its own; -1 for none.</param>
/// <param name="Turns">By task: how many steps it has done when its turn is taken; 0 if it can be exchanged with nobody.</param>
public sealed record Exchange(IReadOnlyList<int> Before, IReadOnlyList<int> Turns)
{
    /// <summary>The task whose turn a task must await before its next step, unless that one has ended; -1 for none.</summary>
    /// <param name="task">The task.</param>
    /// <param name="steps">By task: how many steps it has done.</param>
    internal int AwaitedBy(int task, ReadOnlySpan<long> steps) =>
        task < Before.Count && steps[task] + 1 == Turns[task] && Before[task] is >= 0 and var before && steps[before] < Turns[before] ? before : -1;

    /// <summary>Whether the step that a task has just done was its turn.</summary>
    /// <param name="task">The task.</param>
    /// <param name="steps">By task: how many steps it has done.</param>
    /// <param name="hasEnded">Whether the task has ended with it.</param>
    internal Turn TakenBy(int task, ReadOnlySpan<long> steps, bool hasEnded) =>
        task >= Turns.Count || (steps[task] != Turns[task] && !(steps[task] < Turns[task] && hasEnded)) ? Turn.None
        : new Turn(IsTaken: true, steps[task] == Turns[task] ? Before[task] : -1);
}

/// <summary>What a step has to do with the turns of callers that can be exchanged.</summary>
/// <param name="IsTaken">Whether the step was the turn of its task.</param>
/// <param name="After">If so, the task whose turn came before, so that the step follows from it; -1 for none.</param>
public readonly record struct Turn(bool IsTaken, int After)
{
    /// <summary>A step that is no turn.</summary>
    public static Turn None => new(IsTaken: false, After: -1);
}

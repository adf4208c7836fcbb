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
    /// <summary>The task whose turn comes before that of a task; -1 for none.</summary>
    internal int BeforeOf(int task) => task < Before.Count ? Before[task] : -1;

    /// <summary>How many steps a task has done when its turn is taken; 0 if it takes none.</summary>
    internal int TurnOf(int task) => task < Turns.Count ? Turns[task] : 0;
}

/// <summary>What a step has to do with the turns of callers that can be exchanged.</summary>
/// <param name="IsTaken">Whether the step was the turn of its task.</param>
/// <param name="After">If so, the task whose turn came before, so that the step follows from it; -1 for none.</param>
public readonly record struct Turn(bool IsTaken, int After)
{
    /// <summary>A step that is no turn.</summary>
    public static Turn None => new(IsTaken: false, After: -1);
}

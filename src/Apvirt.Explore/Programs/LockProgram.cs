using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Programs;

/// <summary>One instruction of a program of locks.</summary>
/// <param name="Kind">What it does.</param>
/// <param name="Object">To which object, from 0.</param>
/// <param name="Skip">How many instructions are skipped: by a try that fails, a wait whose time is up, a read of 0.</param>
/// <param name="Value">What is written.</param>
public readonly record struct Instruction(StepKind Kind, int Object, int Skip = 0, int Value = 1);

/// <summary>
/// Tasks that only lock, unlock, try, wait, complete, and read and write memory: the smallest thing that can deadlock, and a way
/// to try an order before there is a driver. Each instruction is one step.
/// </summary>
public sealed class LockProgram
{
    /// <summary>Makes a program.</summary>
    /// <param name="objects">Number of locks, completions and pieces of memory.</param>
    /// <param name="tasks">What each task does.</param>
    public LockProgram(int objects, params IReadOnlyList<Instruction[]> tasks)
    {
        Objects = objects;
        Tasks = [.. tasks];
        IsShared = new bool[objects];
        foreach (Instruction instruction in Tasks.SelectMany(task => task))
            IsShared[instruction.Object] |= instruction.Kind is StepKind.LockShared or StepKind.LockRecursive or StepKind.TryShared;
    }

    /// <summary>Number of locks, completions and pieces of memory.</summary>
    public int Objects { get; }

    /// <summary>What each task does.</summary>
    public Instruction[][] Tasks { get; }

    /// <summary>By object: whether it is a lock that tasks may share.</summary>
    public bool[] IsShared { get; }

    /// <summary>
    /// Whether a task that waits to have a lock exclusively keeps out those who come to share it, as in Linux. If not, they
    /// may always overtake it.
    /// </summary>
    public bool HasQueues { get; init; } = true;

    /// <summary>A task that takes locks one within the other and releases them in reverse order.</summary>
    /// <param name="locks">The locks, outermost first.</param>
    public static Instruction[] Nest(params ReadOnlySpan<int> locks)
    {
        Instruction[] task = new Instruction[locks.Length * 2];
        for (int i = 0; i < locks.Length; i++)
        {
            task[i] = new Instruction(StepKind.Lock, locks[i]);
            task[^(i + 1)] = new Instruction(StepKind.Unlock, locks[i]);
        }
        return task;
    }
}

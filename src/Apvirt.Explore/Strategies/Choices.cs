using System.Numerics;

using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Strategies;

/// <summary>What there is to choose in one state, and what was chosen: a node of a search that several share.</summary>
/// <param name="parent">The state before; null for the first.</param>
/// <param name="depth">Steps that lead here.</param>
/// <param name="task">The task that did the last of them.</param>
/// <param name="doneBefore">What had been chosen in the state before, when that step was.</param>
/// <param name="enabled">The tasks that can step.</param>
/// <param name="sleep">The tasks whose next step leads to nothing new.</param>
/// <param name="weight">What part of all executions each of its choices leads to, if all choices that are known lead to as many.</param>
internal sealed class Choices(Choices? parent, int depth, int task, ulong doneBefore, ulong enabled, ulong sleep, double weight)
{
    internal Choices? Parent => parent;

    internal int Depth => depth;

    internal int Task => task;

    internal ulong DoneBefore => doneBefore;

    internal ulong Enabled => enabled;

    internal ulong Sleep => sleep;

    internal double Weight => weight;

    internal double LeftWeight => weight * BitOperations.PopCount(Left);

    /// <summary>What must be chosen.</summary>
    internal ulong Backtrack { get; set; }

    /// <summary>What was chosen, or is being explored.</summary>
    internal ulong Done { get; set; }

    /// <summary>By task: what memory its step touches here, if it was chosen or sleeps; null as a whole if none ever does.</summary>
    internal Step[]?[]? Footprints { get; set; }

    /// <summary>Whether what the last choice touches is not known yet.</summary>
    internal bool IsBeingTried { get; set; }

    /// <summary>Whether it is in the list of what is left.</summary>
    internal bool IsListed { get; set; }

    internal ulong Left => Backtrack & enabled & ~Done & ~sleep;

    /// <summary>One of several tasks, if there is any.</summary>
    internal static ulong OneOf(ulong tasks, int preferred) => (tasks >> preferred & 1) != 0 ? 1UL << preferred : tasks & (0 - tasks);
}

/// <summary>One choice, and all that it leads to.</summary>
/// <param name="From">The state in which it is made.</param>
/// <param name="Task">The task that is chosen.</param>
/// <param name="Done">What was chosen there before.</param>
internal sealed record Branch(Choices From, int Task, ulong Done)
{
    /// <summary>Steps up to and with the choice.</summary>
    internal int Depth => From.Depth + 1;

    /// <summary>The choice that is made next in a state.</summary>
    internal static Branch Take(Choices choices)
    {
        int task = BitOperations.TrailingZeroCount(choices.Left);
        Branch branch = new(choices, task, choices.Done);
        choices.Done |= 1UL << task;
        return branch;
    }
}

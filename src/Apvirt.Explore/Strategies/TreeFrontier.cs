using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Strategies;

/// <summary>
/// The states of a tree of choices in which something is left to choose. Each thread takes one choice, explores what it leads to
/// for a while, and hands over what is left, so that the executions are as many as on one thread.
/// </summary>
/// <param name="join">Makes the strategy of a thread.</param>
internal sealed class TreeFrontier(Func<TreeFrontier, IExplored, Execution, TreeStrategy> join) : Frontier
{
    private readonly List<Choices> _left = [];
    private bool _isBegun;

    // The part of all executions that is done, by the choices that are known.
    private double _done;

    /// <inheritdoc/>
    internal override (long Choices, double Weight) Left =>
        _isBegun ? (_left.Sum(choices => (long)System.Numerics.BitOperations.PopCount(choices.Left)), _left.Sum(choices => choices.LeftWeight)) : (1, 1);

    /// <inheritdoc/>
    internal override double? Done => _done;

    /// <inheritdoc/>
    internal override IStrategy Join(IExplored program, Execution execution) => join(this, program, execution);

    /// <summary>Takes the choice that was found last, so that there are few at a time. Under the gate.</summary>
    /// <param name="branch">What was taken; null for everything.</param>
    /// <returns>False if nothing can be taken at the moment.</returns>
    internal bool Take(out Branch? branch)
    {
        branch = null;
        if (!_isBegun)
        {
            _isBegun = true;
            return true;
        }
        for (int i = _left.Count - 1; i >= 0; i--)
        {
            Choices choices = _left[i];
            if (choices.IsBeingTried)
                continue;
            branch = Branch.Take(choices);
            choices.IsBeingTried = true;
            if (choices.Left == 0)
            {
                choices.IsListed = false;
                _left.RemoveAt(i);
            }
            return true;
        }
        return false;
    }

    /// <summary>Gives back what is left below a branch. Under the gate.</summary>
    /// <param name="branch">The branch; null for everything.</param>
    /// <param name="left">The choices below it, outermost first.</param>
    internal void GiveBack(Branch? branch, List<Choices> left)
    {
        _done += branch?.From.Weight ?? 1;
        foreach (Choices choices in left)
        {
            _done -= choices.LeftWeight;
            List(choices);
        }
    }

    /// <summary>What the first step of a branch touches is known: the choices beside it can be made.</summary>
    internal void Know(Branch branch, Step[]? footprint)
    {
        lock (Gate)
        {
            branch.From.IsBeingTried = false;
            if (footprint is not null || branch.From.Footprints is not null)
                (branch.From.Footprints ??= new Step[]?[64])[branch.Task] = footprint;
        }
    }

    /// <summary>One of some tasks is to be chosen in a state above a branch.</summary>
    internal void ChooseToo(Branch branch, int depth, ulong tasks, int preferred)
    {
        lock (Gate)
        {
            Choices at = branch.From;
            while (at.Depth > depth)
                at = at.Parent!;
            if ((tasks & at.Backtrack) != 0)
                return;
            at.Backtrack |= Choices.OneOf(tasks & at.Enabled, preferred);
            List(at);
        }
    }

    private void List(Choices choices)
    {
        if (choices.IsListed || choices.Left == 0)
            return;
        choices.IsListed = true;
        _left.Add(choices);
    }
}

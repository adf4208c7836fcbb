using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Strategies;

/// <summary>
/// Every interleaving, or all with few preemptions (M. Musuvathi and S. Qadeer, "Iterative context bounding for systematic testing
/// of multithreaded programs", PLDI 2007): the oracle for the others, and what is easy to read.
/// </summary>
/// <param name="frontier">What is left.</param>
/// <param name="program">What is explored.</param>
/// <param name="execution">The present execution.</param>
/// <param name="preemptionsMax">The most switches away from a task that could have gone on.</param>
internal sealed class NaiveStrategy(TreeFrontier frontier, IExplored program, Execution execution, int preemptionsMax) : TreeStrategy(frontier, program, execution)
{
    private bool _isCut;

    /// <inheritdoc/>
    public override bool IsCut => _isCut;

    protected override ulong ToChoose(int depth, int task, ulong awake) => awake;

    // Only the task that ran goes on when preemptions are used up.
    protected override ulong Allowed(int depth, ulong enabled)
    {
        if (depth == 0 || preemptionsMax == int.MaxValue)
            return enabled;
        ulong running = 1UL << ChoiceAt(depth - 1);
        if ((enabled & running) == 0 || PreemptionsBefore(depth) < preemptionsMax)
            return enabled;
        _isCut |= enabled != running;
        return running;
    }

    private int PreemptionsBefore(int depth)
    {
        int preemptions = 0;
        for (int at = 1; at < depth; at++)
        {
            if (ChoiceAt(at) != ChoiceAt(at - 1) && IsEnabledAt(at, ChoiceAt(at - 1)))
                preemptions++;
        }
        return preemptions;
    }
}

using System.Numerics;
using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Strategies;

/// <summary>
/// One execution of each trace: source sets and sleep sets. Two executions that differ only in the order of steps which do not
/// conflict are the same trace, and one of them is enough.
/// </summary>
/// <remarks>
/// After P. A. Abdulla, S. Aronis, B. Jonsson and K. Sagonas, "Optimal dynamic partial order reduction", POPL 2014; ARCHITECTURE.md
/// has the argument for completeness and each deviation from theirs. What makes locks different from memory is that an acquisition
/// races with the acquisition before it, not with the release in between, and that a task which waits for ever races with all
/// that keeps it out; without the latter, deadlocked traces would be lost. What a step does beside its point belongs to it, so
/// that what it conflicts with may depend on where it is done; its races are therefore looked at when the whole execution is known.
/// </remarks>
internal sealed class ReducedStrategy : TreeStrategy, IRaces
{
    private readonly int _tasks;
    private readonly StepOrder _order;
    private readonly Races _races;

    /// <summary>Makes the strategy of a thread.</summary>
    /// <param name="frontier">What is left.</param>
    /// <param name="program">What is explored.</param>
    /// <param name="execution">The present execution.</param>
    internal ReducedStrategy(TreeFrontier frontier, IExplored program, Execution execution)
        : base(frontier, program, execution)
    {
        _tasks = program.TaskCount;
        _order = new StepOrder(_tasks, execution);
        _races = new Races(_order, execution, _tasks, this);
    }

    protected override void BeginExecution() => _order.Restart();

    protected override void Did(int depth)
    {
        if (IsRepeated(depth))
        {
            _order.Repeat(depth, Program);
            return;
        }
        int task = Execution.TaskAt(depth);
        ReadOnlySpan<Step> accessed = Program.Accessed;
        ReadOnlySpan<Step> released = Program.ReleasesMayBeTried ? Program.Released : [];
        if (_order.HasMemory || accessed.Length + released.Length > 0)
        {
            _order.HasMemory = true;
            _order.FootprintAt(depth, task) = accessed.Length + released.Length > 0 ? [.. accessed, .. released] : null;
        }
        _order.Add(depth, Program);
    }

    // Old races lead to new choices where what a task would touch depends on what else was done. An execution that was given up
    // has races too.
    protected override void EndExecution() => _races.Find(_order.HasMemory ? 0 : Math.Min(Prefix, Execution.Depth), Program);

    // What was explored elsewhere from the state before stays explored unless the step in between conflicts with it.
    protected override ulong SleepAt(int depth)
    {
        if (depth == 0)
            return 0;
        int done = ChoiceAt(depth - 1);
        ulong stays = 0;
        for (ulong rest = TriedAt(depth - 1) & ~(1UL << done); rest != 0; rest &= rest - 1)
        {
            int task = BitOperations.TrailingZeroCount(rest);
            if (!_order.Meet(depth - 1, task, Program.Next(task), done))
                stays |= 1UL << task;
        }
        return stays;
    }

    protected override ulong ToChoose(int depth, int task, ulong awake)
    {
        _order.Reach(depth);
        if (depth > 0 && _order.HasMemory)
        {
            ulong sleep = TriedAt(depth);
            for (int other = 0; other < _tasks; other++)
                _order.FootprintAt(depth, other) = (sleep >> other & 1) != 0 ? _order.FootprintAt(depth - 1, other) : null;
        }
        return 1UL << task;
    }

    protected override Step[]?[]? FootprintsAt(int depth) =>
        _order.HasMemory ? [.. Enumerable.Range(0, _tasks).Select(task => _order.FootprintAt(depth, task))] : null;

    protected override void Follow(int depth, Step[]?[]? footprints)
    {
        _order.Reach(depth);
        _order.HasMemory |= footprints is not null;
        for (int task = 0; task < _tasks; task++)
            _order.FootprintAt(depth, task) = footprints?[task];
    }

    bool IRaces.WasTried(int depth, int task) => (TriedAt(depth) >> task & 1) != 0;

    void IRaces.Reverse(int early, ulong initials, int preferred) => ChooseToo(early, initials, preferred);
}

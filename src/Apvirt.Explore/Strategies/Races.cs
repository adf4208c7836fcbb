using System.Numerics;
using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Strategies;

/// <summary>Decides what becomes of a race.</summary>
internal interface IRaces
{
    /// <summary>Whether a task was tried at a depth, in this execution or in one that had the same steps before.</summary>
    bool WasTried(int depth, int task);

    /// <summary>The later of two racing steps is to come first.</summary>
    /// <param name="early">Depth of the earlier step.</param>
    /// <param name="initials">Tasks of which one must be tried there.</param>
    /// <param name="preferred">The task of the later step.</param>
    void Reverse(int early, ulong initials, int preferred);
}

/// <summary>
/// Which steps of an execution race: those that conflict, and of which the later does not follow from the earlier through others;
/// and who can come first where the two are reversed.
/// </summary>
/// <param name="order">What each step follows from.</param>
/// <param name="execution">The execution.</param>
/// <param name="tasks">The most tasks.</param>
/// <param name="strategy">Who decides what becomes of a race.</param>
internal sealed class Races(StepOrder order, Execution execution, int tasks, IRaces strategy)
{
    private readonly VectorClocks _reach = new(tasks, 1);

    // Depths of the steps that a step conflicts with, while its races are found.
    private readonly List<int> _met = [];

    // Depths of the steps that are to come after the later of two racing steps, as the earlier is.
    private readonly List<int> _postponed = [];

    // Who has an object after what remains, or has asked for it: how, and the depth of the step.
    private readonly List<(StepKind Kind, int Depth)> _open = [];

    /// <summary>
    /// The races of an execution that has ended, of all its steps from one on: what does not follow from the earlier of
    /// two can be done before it, whether it was done between them or after both. A task that waits at the end races with
    /// the acquisition of what it waits for. That holds for an execution that is given up too: what it would repeat is how
    /// the others go on, not that this one waits.
    /// </summary>
    internal void Find(int prefix, IExplored program)
    {
        int end = execution.Depth;
        for (int depth = prefix; depth < end; depth++)
        {
            int task = execution.TaskAt(depth);
            FindRaces(depth, end, task, execution.StepAt(depth), order.HasMemory ? order.FootprintAt(depth, task) : null, order.KnownBefore(depth));
        }
        for (ulong rest = program.Unfinished & ~program.Enabled; rest != 0; rest &= rest - 1)
        {
            int task = BitOperations.TrailingZeroCount(rest);
            FindRaces(end, end, task, program.Next(task), accessed: null, order.KnownTo(task));
        }
    }

    // A step races with the last one it meets, whether at its point or in memory, then with those that this one does not
    // follow from.
    private void FindRaces(int depth, int end, int task, in Step point, Step[]? accessed, VectorClock known)
    {
        _met.Clear();
        Meet(depth, task, point);
        if (accessed is not null)
        {
            foreach (Step access in accessed)
                Meet(depth, task, access);
            _met.Sort();
        }
        if (_met.Count == 0)
            return;
        // What the step follows from without its objects, and then through each race as it is found.
        VectorClock reach = _reach[0];
        reach.Set(known);
        for (int i = _met.Count - 1; i >= 0; i--)
        {
            int early = _met[i];
            if (reach[execution.TaskAt(early)] > early || !CanComeBefore(early, depth, point, known))
                continue;
            strategy.Reverse(early, Initials(early, depth, end, task, point, accessed, known), task);
            reach.Join(order.ClockAt(early));
        }
    }

    // Adds the depths of what conflicts with a part of a step before it. Who acquires a lock that nobody tries races with
    // acquisitions alone.
    private void Meet(int depth, int task, in Step part)
    {
        if (part.Kind == StepKind.Local)
            return;
        bool isPlain = part.Kind == StepKind.Lock && !order.IsShared(part.Object);
        foreach ((Step other, int at) in order.Accesses(part.Object))
        {
            if (at >= depth)
                return;
            if (execution.TaskAt(at) != task && (isPlain ? other.Kind == StepKind.Lock : other.ConflictsWith(part)))
                _met.Add(at);
        }
    }

    // Whether a step could be done before one that was done before it. A release, a completion or whatever else made the step
    // possible does not race with it. What keeps the step out must come later too, but only that: who has the object, or has
    // asked for it, and does not give it back in what remains. Who came and went stays in front (the least fixed point).
    private bool CanComeBefore(int early, int late, in Step point, VectorClock known)
    {
        _postponed.Clear();
        _postponed.Add(early);
        if (!point.MayWait || (point.Kind == StepKind.Lock && !order.IsShared(point.Object) && execution.StepAt(early) == point))
            return true;
        while (true)
        {
            if (point.IsPossible(StateWithoutPostponed(late, point.Object)))
                return true;
            int postponed = _postponed.Count;
            foreach ((StepKind kind, int depth) in _open)
            {
                if (!KeepsOut(kind, point.Kind) || (kind == StepKind.Reset && depth < early))
                    continue;
                if (depth < early || (!known.IsNone && known[execution.TaskAt(depth)] > depth))
                    return false;
                _postponed.Add(depth);
            }
            if (_postponed.Count == postponed)
                return false;
        }
    }

    // Only an asker keeps readers out whom holders would let in; nobody keeps out a writer by asking. Resets commute, so that
    // several keep out a wait together, as readers do a writer.
    private static bool KeepsOut(StepKind open, StepKind kind) => open switch
    {
        StepKind.Ask => kind == StepKind.LockShared,
        StepKind.LockShared => kind == StepKind.Lock,
        StepKind.Reset => kind == StepKind.Wait,
        _ => true,
    };

    // The state of an object after what remains; and who has it then, or has asked for it.
    private ObjectState StateWithoutPostponed(int late, int target)
    {
        ObjectState state = default;
        _open.Clear();
        foreach ((Step access, int depth) in order.Accesses(target))
        {
            if (depth >= late)
                break;
            if (IsPostponed(depth))
                continue;
            KeepOpen(access, depth, access.Succeeds(state));
            state = access.Apply(state);
        }
        return state;
    }

    private void KeepOpen(in Step access, int depth, bool succeeds)
    {
        switch (access.Kind)
        {
            case StepKind.Lock:
                Close(StepKind.Ask, depth);
                _open.Add((StepKind.Lock, depth));
                break;
            case StepKind.LockShared or StepKind.LockRecursive:
            case StepKind.TryShared when succeeds:
                _open.Add((StepKind.LockShared, depth));
                break;
            case StepKind.Try when succeeds:
                _open.Add((StepKind.Lock, depth));
                break;
            case StepKind.Ask or StepKind.Reset:
                _open.Add((access.Kind, depth));
                break;
            case StepKind.Unlock:
                Close(StepKind.Lock, depth);
                break;
            case StepKind.UnlockShared:
                Close(StepKind.LockShared, depth);
                break;
        }
    }

    private void Close(StepKind kind, int depth)
    {
        for (int i = _open.Count - 1; i >= 0; i--)
        {
            if (_open[i].Kind != kind || execution.TaskAt(_open[i].Depth) != execution.TaskAt(depth))
                continue;
            _open.RemoveAt(i);
            return;
        }
    }

    // Whether a step follows from one that is to come later.
    private bool IsPostponed(int depth)
    {
        VectorClock clock = order.ClockAt(depth);
        foreach (int postponed in _postponed)
        {
            // Counted from 1, so that a step follows from itself.
            if (clock[execution.TaskAt(postponed)] > postponed)
                return true;
        }
        return false;
    }

    // The tasks that can come first in an execution that has the later of two racing steps before the earlier.
    private ulong Initials(int early, int late, int end, int task, in Step point, Step[]? accessed, VectorClock known)
    {
        ulong seen = 0;
        ulong initials = 0;
        for (int depth = early + 1; depth < end; depth++)
        {
            int other = execution.TaskAt(depth);
            // What follows from the early step cannot come before it.
            if ((seen >> other & 1) != 0 || IsPostponed(depth))
                continue;
            seen |= 1UL << other;
            if (!FollowsFromBetween(order.ClockAt(depth), early, depth))
                initials |= 1UL << other;
        }
        if ((seen >> task & 1) == 0
            && (known.IsNone || !FollowsFromBetween(known, early, late))
            && !MeetsAfter(point, early, task)
            && !MeetsAfter(accessed, early, task)
            // What a step touches may depend on where it is done.
            && !(order.HasMemory && strategy.WasTried(early, task) && MeetsAfter(order.FootprintAt(early, task), early, task)))
            initials |= 1UL << task;
        return initials;
    }

    private bool MeetsAfter(Step[]? parts, int early, int task)
    {
        foreach (Step part in parts ?? [])
        {
            if (MeetsAfter(part, early, task))
                return true;
        }
        return false;
    }

    // Whether a part of a step conflicts with what is done after a depth without following from what is postponed.
    private bool MeetsAfter(in Step part, int early, int task)
    {
        ReadOnlySpan<Access> accesses = order.Accesses(part.Object);
        for (int i = accesses.Length - 1; i >= 0 && accesses[i].Depth > early; i--)
        {
            int depth = accesses[i].Depth;
            if (execution.TaskAt(depth) != task && !IsPostponed(depth) && accesses[i].Step.ConflictsWith(part))
                return true;
        }
        return false;
    }

    // Whether a step follows from one between two depths that does not follow from what is postponed.
    private bool FollowsFromBetween(VectorClock clock, int early, int late)
    {
        for (int depth = early + 1; depth < late; depth++)
        {
            if (clock[execution.TaskAt(depth)] > depth && !IsPostponed(depth))
                return true;
        }
        return false;
    }
}

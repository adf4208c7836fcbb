using System.Numerics;

namespace Apvirt.Explore.Engine;

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
/// The steps of the present execution, what each follows from, and which of them race: those that conflict, and of which
/// the later does not follow from the earlier through others.
/// </summary>
internal sealed class StepOrder
{
    private readonly int _tasks;

    // By depth: who did what, and the depth of what it did before.
    private int[] _task = new int[64];
    private Step[] _step = new Step[64];
    private int[] _before = new int[64];

    // By depth and task: the last step of the task that the step at the depth follows from, counted from 1.
    private int[] _clock;

    // By depth and task: what the step of the task did there beside its point, or does there while it sleeps: what memory it
    // touched, what it completed, and what it released if that may be tried; null if nothing.
    private Step[]?[] _footprints;

    // By task: the depth of its last step; and the same as _clock for what it knows now.
    private readonly int[] _last;
    private readonly int[] _known;
    private readonly int[] _reach;

    // By object: the accesses of this execution in order; and whether anything but exclusive acquisitions and releases was
    // ever done to it.
    private Access[][] _accesses = [];
    private int[] _counts = [];
    private bool[] _isShared = [];

    private readonly List<int> _touched = [];

    // Depths of the steps that a step conflicts with, while its races are found.
    private readonly List<int> _met = [];

    // Depths of the steps that are to come after the later of two racing steps, as the earlier is.
    private readonly List<int> _postponed = [];

    // Who has an object after what remains, or has asked for it: how, and the depth of the step.
    private readonly List<(StepKind Kind, int Depth)> _open = [];

    internal StepOrder(int tasks)
    {
        _tasks = tasks;
        _clock = new int[_task.Length * tasks];
        _footprints = new Step[]?[_task.Length * tasks];
        _last = new int[tasks];
        _known = new int[tasks * tasks];
        _reach = new int[tasks];
    }

    /// <summary>Whether any step ever touched memory.</summary>
    internal bool HasMemory { get; set; }

    internal ref int TaskAt(int depth) => ref _task[depth];

    internal ref Step StepAt(int depth) => ref _step[depth];

    internal ref Step[]? FootprintAt(int depth, int task) => ref _footprints[(depth * _tasks) + task];

    internal int Capacity => _task.Length;

    internal void Grow()
    {
        int size = _task.Length * 2;
        Array.Resize(ref _task, size);
        Array.Resize(ref _step, size);
        Array.Resize(ref _before, size);
        Array.Resize(ref _clock, size * _tasks);
        Array.Resize(ref _footprints, size * _tasks);
    }

    internal void Restart()
    {
        foreach (int touched in _touched)
            _counts[touched] = 0;
        _touched.Clear();
        Array.Fill(_last, -1);
        Array.Clear(_known);
    }

    /// <summary>A step was done that was done before in the same place.</summary>
    internal void Repeat(int depth, IExplored program)
    {
        int task = _task[depth];
        _last[task] = depth;
        Clock(depth).CopyTo(Known(task));
        Log(depth, program);
    }

    /// <summary>A step was done.</summary>
    internal void Add(int depth, IExplored program)
    {
        int task = _task[depth];
        _before[depth] = _last[task];
        _last[task] = depth;
        Span<int> known = Known(task);
        JoinWhatMeets(known, task, _step[depth]);
        foreach (Step access in program.Accessed)
            JoinWhatMeets(known, task, access);
        foreach (Step release in program.ReleasesMayBeTried ? program.Released : [])
            JoinWhatMeets(known, task, release);
        known[task] = depth + 1;
        known.CopyTo(Clock(depth));
        Log(depth, program);
    }

    /// <summary>Whether the order of two tasks' steps at a depth makes a difference, whatever part of them it is.</summary>
    /// <param name="depth">The depth.</param>
    /// <param name="sleeper">The task whose step was done elsewhere.</param>
    /// <param name="point">What that step does first.</param>
    /// <param name="done">The task whose step is done here.</param>
    internal bool Meet(int depth, int sleeper, in Step point, int done)
    {
        if (point.ConflictsWith(_step[depth]))
            return true;
        Step[] mine = FootprintAt(depth, sleeper) ?? [];
        Step[] theirs = FootprintAt(depth, done) ?? [];
        return Conflict(point, theirs) || Conflict(_step[depth], mine) || Array.Exists(mine, part => Conflict(part, theirs));
    }

    private static bool Conflict(in Step one, ReadOnlySpan<Step> others)
    {
        foreach (Step other in others)
        {
            if (one.ConflictsWith(other))
                return true;
        }
        return false;
    }

    /// <summary>
    /// The races of an execution that has ended, of all its steps from one on: what does not follow from the earlier of
    /// two can be done before it, whether it was done between them or after both. A task that waits at the end races with
    /// the acquisition of what it waits for. That holds for an execution that is given up too: what it would repeat is how
    /// the others go on, not that this one waits.
    /// </summary>
    internal void FindRaces(int prefix, int end, IExplored program, IRaces races)
    {
        for (int depth = prefix; depth < end; depth++)
        {
            int before = _before[depth];
            FindRaces(depth, end, _task[depth], _step[depth], HasMemory ? FootprintAt(depth, _task[depth]) : null, before < 0 ? default : Clock(before), races);
        }
        for (ulong rest = program.Unfinished & ~program.Enabled; rest != 0; rest &= rest - 1)
        {
            int task = BitOperations.TrailingZeroCount(rest);
            FindRaces(end, end, task, program.Next(task), accessed: null, Known(task), races);
        }
    }

    private Span<int> Known(int task) => _known.AsSpan(task * _tasks, _tasks);

    private Span<int> Clock(int depth) => _clock.AsSpan(depth * _tasks, _tasks);

    private static void Join(Span<int> into, ReadOnlySpan<int> from)
    {
        for (int i = 0; i < into.Length; i++)
            into[i] = Math.Max(into[i], from[i]);
    }

    private void JoinWhatMeets(Span<int> known, int task, in Step part)
    {
        if (part.Object >= _counts.Length)
            return;
        Access[] accesses = _accesses[part.Object];
        for (int i = _counts[part.Object] - 1; i >= 0; i--)
        {
            (Step other, int at) = accesses[i];
            if (_task[at] != task && other.ConflictsWith(part))
                Join(known, Clock(at));
        }
    }

    // A step races with the last one it meets, whether at its point or in memory, then with those that this one does not
    // follow from.
    private void FindRaces(int depth, int end, int task, in Step point, Step[]? accessed, ReadOnlySpan<int> known, IRaces races)
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
        Span<int> reach = _reach;
        if (known.IsEmpty)
            reach.Clear();
        else
            known.CopyTo(reach);
        for (int i = _met.Count - 1; i >= 0; i--)
        {
            int early = _met[i];
            if (reach[_task[early]] > early || !CanComeBefore(early, depth, point, known))
                continue;
            races.Reverse(early, Initials(early, depth, end, task, point, accessed, known, races), task);
            Join(reach, Clock(early));
        }
    }

    // Adds the depths of what conflicts with a part of a step before it. Who acquires a lock that nobody tries races with
    // acquisitions alone.
    private void Meet(int depth, int task, in Step part)
    {
        if (part.Object >= _counts.Length || part.Kind == StepKind.Local)
            return;
        Access[] accesses = _accesses[part.Object];
        bool isPlain = part.Kind == StepKind.Lock && !_isShared[part.Object];
        for (int i = 0; i < _counts[part.Object]; i++)
        {
            (Step other, int at) = accesses[i];
            if (at >= depth)
                return;
            if (_task[at] != task && (isPlain ? other.Kind == StepKind.Lock : other.ConflictsWith(part)))
                _met.Add(at);
        }
    }

    // Whether a step could be done before one that was done before it. A release, a completion or whatever else made the step
    // possible does not race with it. What keeps the step out must come later too, but only that: who has the object, or has
    // asked for it, and does not give it back in what remains. Who came and went stays in front (the least fixed point).
    private bool CanComeBefore(int early, int late, in Step point, ReadOnlySpan<int> known)
    {
        _postponed.Clear();
        _postponed.Add(early);
        if (!point.MayWait || point.Object >= _counts.Length || (point.Kind == StepKind.Lock && !_isShared[point.Object] && _step[early] == point))
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
                if (depth < early || (!known.IsEmpty && known[_task[depth]] > depth))
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
        Access[] accesses = _accesses[target];
        ObjectState state = default;
        _open.Clear();
        for (int i = 0; i < _counts[target]; i++)
        {
            (Step access, int depth) = accesses[i];
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
            if (_open[i].Kind != kind || _task[_open[i].Depth] != _task[depth])
                continue;
            _open.RemoveAt(i);
            return;
        }
    }

    // Whether a step follows from one that is to come later.
    private bool IsPostponed(int depth)
    {
        ReadOnlySpan<int> clock = Clock(depth);
        foreach (int postponed in _postponed)
        {
            // Counted from 1, so that a step follows from itself.
            if (clock[_task[postponed]] > postponed)
                return true;
        }
        return false;
    }

    // The tasks that can come first in an execution that has the later of two racing steps before the earlier.
    private ulong Initials(int early, int late, int end, int task, in Step point, Step[]? accessed, ReadOnlySpan<int> known, IRaces races)
    {
        ulong seen = 0;
        ulong initials = 0;
        for (int depth = early + 1; depth < end; depth++)
        {
            int other = _task[depth];
            // What follows from the early step cannot come before it.
            if ((seen >> other & 1) != 0 || IsPostponed(depth))
                continue;
            seen |= 1UL << other;
            if (!FollowsFromBetween(Clock(depth), early, depth))
                initials |= 1UL << other;
        }
        if ((seen >> task & 1) == 0
            && (known.IsEmpty || !FollowsFromBetween(known, early, late))
            && !MeetsAfter(point, early, task)
            && !MeetsAfter(accessed, early, task)
            // What a step touches may depend on where it is done.
            && !(HasMemory && races.WasTried(early, task) && MeetsAfter(FootprintAt(early, task), early, task)))
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
        if (part.Object >= _counts.Length)
            return false;
        Access[] accesses = _accesses[part.Object];
        for (int i = _counts[part.Object] - 1; i >= 0 && accesses[i].Depth > early; i--)
        {
            int depth = accesses[i].Depth;
            if (_task[depth] != task && !IsPostponed(depth) && accesses[i].Step.ConflictsWith(part))
                return true;
        }
        return false;
    }

    // Whether a step follows from one between two depths that does not follow from what is postponed.
    private bool FollowsFromBetween(ReadOnlySpan<int> clock, int early, int late)
    {
        for (int depth = early + 1; depth < late; depth++)
        {
            if (clock[_task[depth]] > depth && !IsPostponed(depth))
                return true;
        }
        return false;
    }

    private void Log(int depth, IExplored program)
    {
        Log(_step[depth], depth);
        foreach (Step release in program.Released)
            Log(release, depth);
        foreach (Step access in program.Accessed)
            Log(access, depth);
    }

    private void Log(in Step step, int depth)
    {
        int target = step.Object;
        if (target >= _counts.Length)
        {
            int size = Math.Max(target + 1, _counts.Length * 2);
            int before = _accesses.Length;
            Array.Resize(ref _accesses, size);
            Array.Resize(ref _counts, size);
            Array.Resize(ref _isShared, size);
            for (int i = before; i < size; i++)
                _accesses[i] = new Access[8];
        }
        _isShared[target] |= step.Kind is not (StepKind.Lock or StepKind.Unlock);
        ref int count = ref _counts[target];
        if (count == 0)
            _touched.Add(target);
        if (count == _accesses[target].Length)
            Array.Resize(ref _accesses[target], count * 2);
        _accesses[target][count++] = new Access(step, depth);
    }

    private readonly record struct Access(Step Step, int Depth);
}

using System.Numerics;
using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Strategies;

/// <summary>What was done to an object, by the step at a depth.</summary>
internal readonly record struct Access(Step Step, int Depth);

/// <summary>What each step of the present execution follows from, and what was done to each object.</summary>
internal sealed class StepOrder
{
    private const int FirstCapacity = 32;

    private readonly int _tasks;
    private readonly Execution _execution;

    // By depth: the depth of what the task did before, and the clock of the step: by task, the last step of the task that it
    // follows from, counted from 1.
    private int[] _before = new int[FirstCapacity];
    private readonly VectorClocks _clocks;

    // By depth and task: what the step of the task did there beside its point, or does there while it sleeps: what memory it
    // touched, what it completed, and what it released if that may be tried; null if nothing.
    private Step[]?[] _footprints;

    // By task: the depth of its last step, and of the one that was its turn (Exchange); and what it knows now.
    private readonly int[] _last;
    private readonly int[] _turns;
    private readonly VectorClocks _known;

    // Tasks that time has woken and that have not gone on yet, as bits; and by depth of a step with which such a task went on, or
    // one whose turn it was not before, what it knew then.
    private ulong _wakesByTime;
    private readonly Dictionary<int, VectorClocks> _allowed = [];

    // By object: what was done to it in this execution in order; and whether anything but exclusive acquisitions and releases
    // was ever done to it.
    private Access[][] _accesses = [];
    private int[] _counts = [];
    private bool[] _isShared = [];
    private readonly List<int> _touched = [];

    internal StepOrder(int tasks, Execution execution)
    {
        _tasks = tasks;
        _execution = execution;
        _clocks = new VectorClocks(tasks, FirstCapacity);
        _footprints = new Step[]?[FirstCapacity * tasks];
        _last = new int[tasks];
        _turns = new int[tasks];
        _known = new VectorClocks(tasks, tasks);
    }

    /// <summary>Whether any step ever touched memory.</summary>
    internal bool HasMemory { get; set; }

    internal ref Step[]? FootprintAt(int depth, int task) => ref _footprints[(depth * _tasks) + task];

    /// <summary>What the step at a depth follows from.</summary>
    internal VectorClock ClockAt(int depth) => _clocks[depth];

    /// <summary>What the step at a depth follows from without what it does: the clock of the task's step before.</summary>
    internal VectorClock KnownBefore(int depth) =>
        _allowed.TryGetValue(depth, out VectorClocks? allowed) ? allowed[0]
        : _before[depth] < 0 ? default
        : _clocks[_before[depth]];

    /// <summary>What a task knows now.</summary>
    internal VectorClock KnownTo(int task) => _known[task];

    /// <summary>What was done to an object, in order.</summary>
    internal ReadOnlySpan<Access> Accesses(int target) => target < _counts.Length ? _accesses[target].AsSpan(0, _counts[target]) : [];

    /// <summary>Whether anything but exclusive acquisitions and releases was ever done to an object.</summary>
    internal bool IsShared(int target) => target < _isShared.Length && _isShared[target];

    /// <summary>A depth is about to be reached.</summary>
    internal void Reach(int depth)
    {
        if (depth < _before.Length)
            return;
        int size = Math.Max(_before.Length * 2, depth + 1);
        Array.Resize(ref _before, size);
        Array.Resize(ref _footprints, size * _tasks);
        _clocks.Grow(size);
    }

    internal void Restart()
    {
        foreach (int touched in _touched)
            _counts[touched] = 0;
        _touched.Clear();
        Array.Fill(_last, -1);
        Array.Fill(_turns, -1);
        _known.Clear();
        _wakesByTime = 0;
    }

    /// <summary>A step was done that was done before in the same place.</summary>
    internal void Repeat(int depth, IExplored program)
    {
        int task = _execution.TaskAt(depth);
        _last[task] = depth;
        if (program.Turn.IsTaken)
            _turns[task] = depth;
        _known[task].Set(_clocks[depth]);
        _wakesByTime &= ~(1UL << task);
        LetTimePass(program);
        Log(depth, program);
    }

    /// <summary>A step was done.</summary>
    internal void Add(int depth, IExplored program)
    {
        int task = _execution.TaskAt(depth);
        _before[depth] = _last[task];
        _last[task] = depth;
        VectorClock known = _known[task];
        _allowed.Remove(depth);
        bool isAllowed = (_wakesByTime >> task & 1) != 0;
        if (program.Turn is { IsTaken: true } turn)
        {
            _turns[task] = depth;
            if (turn.After >= 0 && _turns[turn.After] >= 0)
            {
                known.Join(_clocks[_turns[turn.After]]);
                isAllowed = true;
            }
        }
        if (isAllowed)
        {
            VectorClocks before = new(_tasks, 1);
            before[0].Set(known);
            _allowed.Add(depth, before);
            _wakesByTime &= ~(1UL << task);
        }
        JoinWhatMeets(known, task, _execution.StepAt(depth));
        foreach (Step access in program.Accessed)
            JoinWhatMeets(known, task, access);
        foreach (Step release in program.ReleasesMayBeTried ? program.Released : [])
            JoinWhatMeets(known, task, release);
        known[task] = depth + 1;
        _clocks[depth].Set(known);
        LetTimePass(program);
        Log(depth, program);
    }

    /// <summary>Whether the order of two tasks' steps at a depth makes a difference, whatever part of them it is.</summary>
    /// <param name="depth">The depth.</param>
    /// <param name="sleeper">The task whose step was done elsewhere.</param>
    /// <param name="point">What that step does first.</param>
    /// <param name="done">The task whose step is done here.</param>
    internal bool Meet(int depth, int sleeper, in Step point, int done)
    {
        Step step = _execution.StepAt(depth);
        if (point.ConflictsWith(step))
            return true;
        Step[] mine = FootprintAt(depth, sleeper) ?? [];
        Step[] theirs = FootprintAt(depth, done) ?? [];
        return Conflict(point, theirs) || Conflict(step, mine) || Array.Exists(mine, part => Conflict(part, theirs));
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

    // What tasks do that time has woken follows from all that was done.
    private void LetTimePass(IExplored program)
    {
        for (ulong rest = program.WokenByTime; rest != 0; rest &= rest - 1)
        {
            int woken = BitOperations.TrailingZeroCount(rest);
            for (int task = 0; task < _tasks; task++)
                _known[woken].Join(_known[task]);
            _wakesByTime |= 1UL << woken;
        }
    }

    private void JoinWhatMeets(VectorClock known, int task, in Step part)
    {
        ReadOnlySpan<Access> accesses = Accesses(part.Object);
        for (int i = accesses.Length - 1; i >= 0; i--)
        {
            (Step other, int at) = accesses[i];
            if (_execution.TaskAt(at) != task && other.ConflictsWith(part))
                known.Join(_clocks[at]);
        }
    }

    private void Log(int depth, IExplored program)
    {
        Log(_execution.StepAt(depth), depth);
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
}

using System.Numerics;

namespace Apvirt.Explore.Engine;

/// <summary>
/// Explores every interleaving of a program without repeating itself: stateless search by source sets and sleep sets. Two
/// executions that differ only in the order of steps which do not conflict are the same trace, and one of them is enough.
/// </summary>
/// <remarks>
/// Points lie before acquisitions and waits. A release is none, unless somebody tries the lock: it only enables. What
/// makes locks different from memory is that an acquisition races with the acquisition before it, not with the release in
/// between, and that a task which waits for ever races with the acquisition of what it waits for; without the latter,
/// deadlocked traces would be lost.
/// </remarks>
public sealed class Explorer
{
    private readonly IExplored _program;
    private readonly ExploreOptions _options;
    private readonly int _tasks;
    private readonly bool _isReduced;

    // By depth: the choice, and what is left to choose.
    private ulong[] _enabled = new ulong[64];
    private ulong[] _backtrack = new ulong[64];
    private ulong[] _done = new ulong[64];
    private ulong[] _sleep = new ulong[64];
    private int[] _task = new int[64];
    private int[] _before = new int[64];
    private Step[] _step = new Step[64];

    // By depth and task: the last step of the task that the step at the depth follows from, counted from 1.
    private int[] _clock;

    // By task: the depth of its last step; and the same as _clock for what it knows now.
    private readonly int[] _last;
    private readonly int[] _known;
    private readonly int[] _reach;

    // By object: the accesses of this execution in order.
    private Access[][] _accesses = [];
    private int[] _accessCounts = [];

    // By object: whether anything but exclusive acquisitions and releases was ever done to it.
    private bool[] _isShared = [];

    private readonly List<int> _touched = [];

    // Depths of the steps that a step conflicts with, while its races are found.
    private readonly List<int> _met = [];

    // By depth and task: what memory the step touched that the task did there, or does there while it sleeps; null if none.
    private Step[]?[] _footprints;
    private bool _hasMemory;

    /// <summary>Makes an explorer.</summary>
    /// <param name="program">What to explore.</param>
    /// <param name="options">How and how far.</param>
    public Explorer(IExplored program, ExploreOptions? options = null)
    {
        _program = program;
        _options = options ?? new ExploreOptions();
        _isReduced = _options.Strategy == Strategy.Reduced;
        _tasks = program.TaskCount;
        _clock = new int[_task.Length * _tasks];
        _footprints = new Step[]?[_task.Length * _tasks];
        _last = new int[_tasks];
        _known = new int[_tasks * _tasks];
        _reach = new int[_tasks];
    }

    /// <summary>Called after each complete execution with the number of its steps; false ends the exploration as a violation.</summary>
    public Func<int, bool>? Completed { get; set; }

    /// <summary>The task that did a step of the present execution.</summary>
    /// <param name="depth">Number of the step, from 0.</param>
    public int TaskAt(int depth) => _task[depth];

    /// <summary>A step of the present execution.</summary>
    /// <param name="depth">Number of the step, from 0.</param>
    public Step StepAt(int depth) => _step[depth];

    /// <summary>The memory that a step of the present execution has read and written; null if none.</summary>
    /// <param name="depth">Number of the step, from 0.</param>
    public IReadOnlyList<Step>? AccessedAt(int depth) => _footprints[(depth * _tasks) + _task[depth]];

    /// <summary>Explores.</summary>
    public ExploreResult Run()
    {
        long executions = 0;
        long deadlocks = 0;
        long blocked = 0;
        int deepest = 0;
        int[]? firstDeadlock = null;
        int prefix = 0;
        int frames = 0;
        while (true)
        {
            int depth = Replay(prefix);
            bool isCut = false;
            while (true)
            {
                if (depth == frames)
                {
                    ulong enabled = _program.Enabled;
                    if (enabled == 0)
                        break;
                    ulong awake = enabled & ~SleepAt(depth);
                    if (awake == 0 || depth >= _options.DepthMax)
                    {
                        isCut = true;
                        break;
                    }
                    Open(depth, enabled, Prefer(awake, depth));
                    frames++;
                }
                Do(depth++);
            }
            deepest = Math.Max(deepest, depth);
            if (isCut && depth >= _options.DepthMax)
                return new ExploreResult(Verdict.BoundReached, executions, deadlocks, blocked, deepest, firstDeadlock);
            if (_isReduced)
                FindRaces(prefix, depth);
            if (isCut)
            {
                blocked++;
            }
            else
            {
                executions++;
                bool isDeadlock = _program.Unfinished != 0;
                if (isDeadlock)
                {
                    deadlocks++;
                    firstDeadlock ??= _task[..depth];
                }
                if ((Completed is not null && !Completed(depth)) || (isDeadlock && _options.StopsAtDeadlock))
                    return new ExploreResult(Verdict.Violation, executions, deadlocks, blocked, deepest, firstDeadlock);
            }
            prefix = Backtrack(frames);
            if (prefix < 0)
                return new ExploreResult(Verdict.Exhausted, executions, deadlocks, blocked, deepest, firstDeadlock);
            if (executions + blocked >= _options.ExecutionsMax)
                return new ExploreResult(Verdict.BoundReached, executions, deadlocks, blocked, deepest, firstDeadlock);
            frames = prefix + 1;
        }
    }

    // Begins an execution with the choices that stay, of which the races are known already.
    private int Replay(int prefix)
    {
        _program.Restart();
        foreach (int touched in _touched)
            _accessCounts[touched] = 0;
        _touched.Clear();
        Array.Fill(_last, -1);
        for (int depth = 0; depth < prefix; depth++)
        {
            _program.Do(_task[depth]);
            if (_isReduced)
                Log(depth);
            _last[_task[depth]] = depth;
        }
        if (!_isReduced)
            return prefix;
        Array.Clear(_known);
        for (int task = 0; task < _tasks; task++)
        {
            if (_last[task] >= 0)
                _clock.AsSpan(_last[task] * _tasks, _tasks).CopyTo(Known(task));
        }
        return prefix;
    }

    private Span<int> Known(int task) => _known.AsSpan(task * _tasks, _tasks);

    private Span<int> Clock(int depth) => _clock.AsSpan(depth * _tasks, _tasks);

    // What was explored elsewhere from the state before stays explored unless the step in between conflicts with it.
    private ulong SleepAt(int depth)
    {
        if (depth == 0 || !_isReduced)
            return 0;
        ulong sleeping = (_sleep[depth - 1] | _done[depth - 1]) & ~(1UL << _task[depth - 1]);
        ulong stays = 0;
        for (ulong rest = sleeping; rest != 0; rest &= rest - 1)
        {
            int task = BitOperations.TrailingZeroCount(rest);
            if (!_program.Next(task).ConflictsWith(_step[depth - 1]) && !Meet(FootprintAt(depth - 1, task), FootprintAt(depth - 1, _task[depth - 1])))
                stays |= 1UL << task;
        }
        return stays;
    }

    // Turn by turn, so that first executions have tasks in each other's way.
    private int Prefer(ulong awake, int depth)
    {
        ulong after = depth > 0 ? awake & ~((2UL << _task[depth - 1]) - 1) : awake;
        return BitOperations.TrailingZeroCount(after != 0 ? after : awake);
    }

    private void Open(int depth, ulong enabled, int task)
    {
        if (depth == _task.Length)
            Grow();
        _sleep[depth] = SleepAt(depth);
        for (int other = 0; other < _tasks && depth > 0 && _hasMemory; other++)
            FootprintAt(depth, other) = (_sleep[depth] >> other & 1) != 0 ? FootprintAt(depth - 1, other) : null;
        _enabled[depth] = enabled;
        _backtrack[depth] = _isReduced ? 1UL << task : enabled;
        _done[depth] = 0;
        _task[depth] = task;
    }

    private void Grow()
    {
        int size = _task.Length * 2;
        Array.Resize(ref _enabled, size);
        Array.Resize(ref _backtrack, size);
        Array.Resize(ref _done, size);
        Array.Resize(ref _sleep, size);
        Array.Resize(ref _task, size);
        Array.Resize(ref _before, size);
        Array.Resize(ref _step, size);
        Array.Resize(ref _clock, size * _tasks);
        Array.Resize(ref _footprints, size * _tasks);
    }

    private void Do(int depth)
    {
        int task = _task[depth];
        _step[depth] = _program.Next(task);
        _program.Do(task);
        ReadOnlySpan<Step> accessed = _program.Accessed;
        if (_hasMemory || accessed.Length > 0)
        {
            _hasMemory = true;
            FootprintAt(depth, task) = accessed.Length > 0 ? accessed.ToArray() : null;
        }
        _before[depth] = _last[task];
        if (_isReduced)
        {
            Follow(depth, task, accessed);
            Log(depth);
        }
        _last[task] = depth;
    }

    private ref Step[]? FootprintAt(int depth, int task) => ref _footprints[(depth * _tasks) + task];

    private static bool Meet(Step[]? one, Step[]? other)
    {
        if (one is null || other is null)
            return false;
        foreach (Step mine in one)
        {
            foreach (Step theirs in other)
            {
                if (mine.ConflictsWith(theirs))
                    return true;
            }
        }
        return false;
    }

    // Finds what a step that was just done follows from.
    private void Follow(int depth, int task, ReadOnlySpan<Step> accessed)
    {
        Step point = _step[depth];
        Span<int> known = Known(task);
        JoinWhatMeets(known, task, point);
        foreach (Step access in accessed)
            JoinWhatMeets(known, task, access);
        known[task] = depth + 1;
        known.CopyTo(Clock(depth));
    }

    private void JoinWhatMeets(Span<int> known, int task, in Step part)
    {
        if (part.Object >= _accessCounts.Length)
            return;
        Access[] accesses = _accesses[part.Object];
        for (int i = _accessCounts[part.Object] - 1; i >= 0; i--)
        {
            (Step other, int at) = accesses[i];
            if (_task[at] != task && other.ConflictsWith(part))
                Join(known, Clock(at));
        }
    }

    private static void Join(Span<int> into, ReadOnlySpan<int> from)
    {
        for (int i = 0; i < into.Length; i++)
            into[i] = Math.Max(into[i], from[i]);
    }

    // The races of an execution that has ended, of all steps that are new in it: what is not done before a racing step can be
    // done without it, whether it was done between the two or after both. A task that waits at the end races with the
    // acquisition of what it waits for. That holds for an execution that is given up too: what it would repeat is how the
    // others go on, not that this one waits.
    private void FindRaces(int prefix, int end)
    {
        for (int depth = prefix; depth < end; depth++)
        {
            int before = _before[depth];
            FindRaces(depth, end, _task[depth], _step[depth], _hasMemory ? FootprintAt(depth, _task[depth]) : null, before < 0 ? default : Clock(before));
        }
        for (ulong rest = _program.Unfinished & ~_program.Enabled; rest != 0; rest &= rest - 1)
        {
            int task = BitOperations.TrailingZeroCount(rest);
            FindRaces(end, end, task, _program.Next(task), accessed: null, Known(task));
        }
    }

    // A step races with the last one it meets, whether at its point or in memory, then with those that this one does not
    // follow from.
    private void FindRaces(int depth, int end, int task, in Step point, Step[]? accessed, ReadOnlySpan<int> known)
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
            if (reach[_task[early]] > early || (point.MayWait && !IsPossibleWithout(early, depth, point)))
                continue;
            Reverse(early, depth, end, task, point, accessed, known);
            Join(reach, Clock(early));
        }
    }

    // Adds the depths of what conflicts with a part of a step before it. Who acquires a lock that nobody tries races with
    // acquisitions alone.
    private void Meet(int depth, int task, in Step part)
    {
        if (part.Object >= _accessCounts.Length || part.Kind == StepKind.Local)
            return;
        Access[] accesses = _accesses[part.Object];
        bool isPlain = part.Kind == StepKind.Lock && !_isShared[part.Object];
        for (int i = 0; i < _accessCounts[part.Object]; i++)
        {
            (Step other, int at) = accesses[i];
            if (at >= depth)
                return;
            if (_task[at] != task && (isPlain ? other.Kind == StepKind.Lock : other.ConflictsWith(part)))
                _met.Add(at);
        }
    }

    // Whether a step could be done without one before it, and without what follows from that. A release, a completion or
    // whatever else made the step possible does not race with it.
    private bool IsPossibleWithout(int early, int late, in Step point)
    {
        if (point.Object >= _accessCounts.Length || (point.Kind == StepKind.Lock && !_isShared[point.Object] && _step[early] == point))
            return true;
        Access[] accesses = _accesses[point.Object];
        int racer = _task[early];
        int state = 0;
        for (int i = 0; i < _accessCounts[point.Object]; i++)
        {
            (Step access, int depth) = accesses[i];
            if (depth >= late)
                break;
            if (depth < early || Clock(depth)[racer] <= early)
                state = access.Apply(state);
        }
        return point.IsPossible(state);
    }

    // Sees to it that the later of two racing steps is also tried first.
    private void Reverse(int early, int late, int end, int task, in Step point, Step[]? accessed, ReadOnlySpan<int> known)
    {
        int racer = _task[early];
        ulong seen = 0;
        ulong initials = 0;
        for (int depth = early + 1; depth < end; depth++)
        {
            int other = _task[depth];
            // What follows from the early step cannot come before it.
            if (Clock(depth)[racer] > early)
                continue;
            if ((seen >> other & 1) == 0)
            {
                seen |= 1UL << other;
                if (!FollowsFromBetween(Clock(depth), early, depth, racer))
                    initials |= 1UL << other;
            }
        }
        if ((seen >> task & 1) == 0 && (known.IsEmpty || !FollowsFromBetween(known, early, late, racer)) && !MeetsBetween(point, accessed, early, task, racer))
            initials |= 1UL << task;
        if ((initials & _backtrack[early]) != 0)
            return;
        ulong possible = initials & _enabled[early];
        if (possible != 0)
            _backtrack[early] |= (possible >> task & 1) != 0 ? 1UL << task : possible & (0 - possible);
    }

    // Whether a step, as it was done or as it was done at the early depth, conflicts with one after that depth that does not
    // follow from the step there. What it touches may depend on where it is done.
    private bool MeetsBetween(in Step point, ReadOnlySpan<Step> accessed, int early, int task, int racer)
    {
        if (MeetsBetween(point, early, task, racer) || MeetsBetween(accessed, early, task, racer))
            return true;
        return _hasMemory && ((_done[early] | _sleep[early]) >> task & 1) != 0 && MeetsBetween(FootprintAt(early, task), early, task, racer);
    }

    private bool MeetsBetween(ReadOnlySpan<Step> accessed, int early, int task, int racer)
    {
        foreach (Step access in accessed)
        {
            if (MeetsBetween(access, early, task, racer))
                return true;
        }
        return false;
    }

    private bool MeetsBetween(in Step part, int early, int task, int racer)
    {
        if (part.Object >= _accessCounts.Length)
            return false;
        Access[] accesses = _accesses[part.Object];
        for (int i = _accessCounts[part.Object] - 1; i >= 0 && accesses[i].Depth > early; i--)
        {
            int depth = accesses[i].Depth;
            if (_task[depth] != task && Clock(depth)[racer] <= early && accesses[i].Step.ConflictsWith(part))
                return true;
        }
        return false;
    }

    // Whether a step follows from one between two depths that does not follow from the early one.
    private bool FollowsFromBetween(ReadOnlySpan<int> clock, int early, int late, int racer)
    {
        for (int depth = early + 1; depth < late; depth++)
        {
            if (clock[_task[depth]] > depth && Clock(depth)[racer] <= early)
                return true;
        }
        return false;
    }

    private void Log(int depth)
    {
        Log(_step[depth], depth);
        foreach (Step release in _program.Released)
            Log(release, depth);
        foreach (Step access in _program.Accessed)
            Log(access, depth);
    }

    private void Log(in Step step, int depth)
    {
        int target = step.Object;
        if (target >= _accessCounts.Length)
        {
            int size = Math.Max(target + 1, _accessCounts.Length * 2);
            int before = _accesses.Length;
            Array.Resize(ref _accesses, size);
            Array.Resize(ref _accessCounts, size);
            Array.Resize(ref _isShared, size);
            for (int i = before; i < size; i++)
                _accesses[i] = new Access[8];
        }
        _isShared[target] |= step.Kind is not (StepKind.Lock or StepKind.Unlock);
        ref int count = ref _accessCounts[target];
        if (count == 0)
            _touched.Add(target);
        if (count == _accesses[target].Length)
            Array.Resize(ref _accesses[target], count * 2);
        _accesses[target][count++] = new Access(step, depth);
    }

    // The deepest place where something is left to choose; it is chosen.
    private int Backtrack(int frames)
    {
        for (int depth = frames - 1; depth >= 0; depth--)
        {
            _done[depth] |= 1UL << _task[depth];
            ulong left = _backtrack[depth] & _enabled[depth] & ~_done[depth] & ~_sleep[depth];
            if (left == 0)
                continue;
            _task[depth] = BitOperations.TrailingZeroCount(left);
            return depth;
        }
        return -1;
    }

    private readonly record struct Access(Step Step, int Depth);
}

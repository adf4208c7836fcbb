using System.Numerics;

namespace Apvirt.Explore.Engine;

/// <summary>
/// Explores every interleaving of a program without repeating itself: stateless search by source sets and sleep sets. Two
/// executions that differ only in the order of steps which do not conflict are the same trace, and one of them is enough.
/// </summary>
/// <remarks>
/// Source sets and sleep sets after Abdulla, Aronis, Jonsson and Sagonas ("Optimal dynamic partial order reduction", POPL 2014);
/// ARCHITECTURE.md has the argument for completeness and each deviation from theirs. What makes locks different from memory is
/// that an acquisition races with the acquisition before it, not with the release in between, and that a task which waits for
/// ever races with all that keeps it out; without the latter, deadlocked traces would be lost. What a step does beside its point
/// belongs to it, so that what it conflicts with may depend on where it is done; its races are therefore looked at when the whole
/// execution is known.
/// </remarks>
public sealed class Explorer : IExecution, IRaces
{
    private const int Undecided = -1;
    private const int Ended = -2;

    private readonly IExplored _program;
    private readonly ExploreOptions _options;
    private readonly int _tasks;
    private readonly bool _isReduced;
    private readonly StepOrder _order;

    // By depth: the choice, and what is left to choose.
    private ulong[] _enabled = new ulong[64];
    private ulong[] _backtrack = new ulong[64];
    private ulong[] _done = new ulong[64];
    private ulong[] _sleep = new ulong[64];

    // By depth: switches away from a task that could have gone on, up to there.
    private int[] _preemptions = new int[64];

    private readonly List<(int Depth, ulong Initials, int Preferred)> _outer = [];

    // Choices above this depth are somebody else's.
    private int _root;
    private int _frames;
    private int _prefix;
    private int _known;
    private long _executions;
    private long _deadlocks;
    private long _blocked;
    private int _deepest;
    private int[]? _firstDeadlock;
    private bool _isCut;

    // Of the present execution: how many steps are done, who does the next if that is decided, whether what it would repeat is
    // left out, and whether the present step has ended where its task stands.
    private int _depth;
    private int _decided;
    private bool _isGivenUp;
    private bool _isStepOver;

    /// <summary>Makes an explorer.</summary>
    /// <param name="program">What to explore.</param>
    /// <param name="options">How and how far.</param>
    public Explorer(IExplored program, ExploreOptions? options = null)
    {
        _program = program;
        _options = options ?? new ExploreOptions();
        _isReduced = _options.Strategy == Strategy.Reduced;
        _tasks = program.TaskCount;
        _order = new StepOrder(_tasks);
        if (program is IStandsAmid amid)
            amid.GoesOn = GoesOn;
    }

    /// <summary>Called after each complete execution; false ends the exploration as a violation.</summary>
    public Func<IExecution, bool>? Completed { get; set; }

    /// <inheritdoc/>
    public int Depth { get; private set; }

    /// <inheritdoc/>
    public int TaskAt(int depth) => _order.TaskAt(depth);

    /// <inheritdoc/>
    public Step StepAt(int depth) => _order.StepAt(depth);

    /// <inheritdoc/>
    public IReadOnlyList<Step> AccessedAt(int depth) => _order.FootprintAt(depth, _order.TaskAt(depth)) ?? [];

    /// <summary>What was found so far.</summary>
    internal ExploreResult Result(Verdict verdict) => new(verdict, _executions, _deadlocks, _blocked, _deepest, _firstDeadlock);

    /// <summary>Whether something was left out because of a bound.</summary>
    internal bool IsCut => _isCut;

    /// <summary>Explores from the start to the end.</summary>
    public ExploreResult Run()
    {
        Begin();
        Verdict? verdict;
        while ((verdict = Continue(_options.ExecutionsMax - _executions - _blocked)) is null && _executions + _blocked < _options.ExecutionsMax)
        {
        }
        return Result(verdict is null || (verdict == Verdict.Exhausted && _isCut) ? Verdict.BoundReached : verdict.Value);
    }

    /// <summary>Is about to explore everything.</summary>
    internal void Begin()
    {
        _known = int.MaxValue;
        _root = 0;
        _prefix = 0;
        _frames = 0;
        _outer.Clear();
    }

    /// <summary>Is about to explore what a branch leads to.</summary>
    internal void Begin(Branch branch)
    {
        _outer.Clear();
        _root = branch.Depth;
        while (_root >= _order.Capacity)
            Grow();
        int depth = _root - 1;
        // The choice that leads here, and those before it.
        _order.TaskAt(depth) = branch.Task;
        _done[depth] = branch.Done;
        for (Choices? at = branch.From; at is not null; at = at.Parent)
        {
            depth = at.Depth;
            _enabled[depth] = at.Enabled;
            _backtrack[depth] = at.Backtrack;
            _sleep[depth] = at.Sleep;
            _preemptions[depth] = at.Preemptions;
            for (int task = 0; task < _tasks; task++)
                _order.FootprintAt(depth, task) = at.Footprints?[task];
            _order.HasMemory |= at.Footprints is not null;
            if (at.Parent is not null)
            {
                _order.TaskAt(at.Parent.Depth) = at.Task;
                _done[at.Parent.Depth] = at.DoneBefore;
            }
        }
        _prefix = _root - 1;
        _frames = _root;
        _known = 0;
    }

    /// <summary>Explores on.</summary>
    /// <param name="executions">How many executions at most.</param>
    /// <returns>How it ended; null if there is more to explore.</returns>
    internal Verdict? Continue(long executions)
    {
        for (long i = 0; i < executions; i++)
        {
            Verdict? verdict = Execute();
            if (verdict is not null)
                return verdict;
        }
        return null;
    }

    private Verdict? Execute()
    {
        _program.Restart();
        _order.Restart();
        _depth = 0;
        _isGivenUp = false;
        _decided = Undecided;
        while (true)
        {
            int task = _decided != Undecided ? _decided : Decide();
            _decided = Undecided;
            if (task == Ended)
                break;
            BeginStep(task);
            _isStepOver = false;
            _program.Do(task);
            if (!_isStepOver)
                EndStep(task);
        }
        _known = int.MaxValue;
        int depth = _depth;
        bool isGivenUp = _isGivenUp;
        Depth = depth;
        _deepest = Math.Max(_deepest, depth);
        // Old races lead to new choices where what a task would touch depends on what else was done.
        if (_isReduced)
            _order.FindRaces(_order.HasMemory ? 0 : Math.Min(_prefix, depth), depth, _program, this);
        if (isGivenUp)
        {
            _blocked++;
        }
        else
        {
            _executions++;
            bool isDeadlock = _program.Unfinished != 0;
            if (isDeadlock)
            {
                _deadlocks++;
                _firstDeadlock ??= [.. Enumerable.Range(0, depth).Select(TaskAt)];
            }
            if ((Completed is not null && !Completed(this)) || (isDeadlock && _options.StopsAtDeadlock))
                return Verdict.Violation;
        }
        return Backtrack() ? null : Verdict.Exhausted;
    }

    // Which task does the next step: the choices that stay come first, of which the races are known already.
    private int Decide()
    {
        if (_depth < _frames)
            return _order.TaskAt(_depth);
        ulong enabled = _program.Enabled;
        if (enabled == 0)
            return Ended;
        ulong awake = Allowed(_depth, enabled) & ~SleepAt(_depth);
        bool isTooDeep = _depth >= _options.DepthMax;
        _isCut |= isTooDeep;
        _isGivenUp = isTooDeep || awake == 0;
        if (_isGivenUp)
            return Ended;
        Open(_depth, enabled, awake);
        _frames++;
        return _order.TaskAt(_depth);
    }

    // Whether a step was done before in the same place by this explorer: whoever takes over a branch has not seen the steps that
    // lead to it.
    private bool IsRepeated => _depth < _prefix && _depth < _known;

    private void BeginStep(int task)
    {
        if (!IsRepeated)
            _order.StepAt(_depth) = _program.Next(task);
    }

    private void EndStep(int task)
    {
        bool isRepeated = IsRepeated;
        int depth = _depth++;
        if (isRepeated)
        {
            if (_isReduced)
                _order.Repeat(depth, _program);
            return;
        }
        ReadOnlySpan<Step> accessed = _program.Accessed;
        ReadOnlySpan<Step> released = _program.ReleasesMayBeTried ? _program.Released : [];
        if (_order.HasMemory || accessed.Length + released.Length > 0)
        {
            _order.HasMemory = true;
            _order.FootprintAt(depth, task) = accessed.Length + released.Length > 0 ? [.. accessed, .. released] : null;
        }
        if (_isReduced)
            _order.Add(depth, _program);
    }

    // Where a task stands in the middle of its code, it is decided there who goes on: mostly the same task, without a switch.
    private bool GoesOn(int task)
    {
        EndStep(task);
        _decided = Decide();
        _isStepOver = _decided != task;
        if (_isStepOver)
            return false;
        _decided = Undecided;
        BeginStep(task);
        return true;
    }

    // With a limit of preemptions, only the task that ran goes on when they are used up.
    private ulong Allowed(int depth, ulong enabled)
    {
        if (depth == 0 || _options.PreemptionsMax == int.MaxValue)
            return enabled;
        ulong running = 1UL << _order.TaskAt(depth - 1);
        if ((enabled & running) == 0 || PreemptionsBefore(depth) < _options.PreemptionsMax)
            return enabled;
        _isCut |= enabled != running;
        return running;
    }

    private int PreemptionsBefore(int depth)
    {
        if (depth == 0)
            return 0;
        bool isPreempted = depth > 1 && _order.TaskAt(depth - 1) != _order.TaskAt(depth - 2) && (_enabled[depth - 1] >> _order.TaskAt(depth - 2) & 1) != 0;
        return _preemptions[depth - 1] + (isPreempted ? 1 : 0);
    }

    // What was explored elsewhere from the state before stays explored unless the step in between conflicts with it.
    private ulong SleepAt(int depth)
    {
        if (depth == 0 || !_isReduced)
            return 0;
        int done = _order.TaskAt(depth - 1);
        ulong sleeping = (_sleep[depth - 1] | _done[depth - 1]) & ~(1UL << done);
        ulong stays = 0;
        for (ulong rest = sleeping; rest != 0; rest &= rest - 1)
        {
            int task = BitOperations.TrailingZeroCount(rest);
            if (!_order.Meet(depth - 1, task, _program.Next(task), done))
                stays |= 1UL << task;
        }
        return stays;
    }

    // Turn by turn, so that first executions have tasks in each other's way.
    private int Prefer(ulong awake, int depth)
    {
        ulong after = depth > 0 ? awake & ~((2UL << _order.TaskAt(depth - 1)) - 1) : awake;
        return BitOperations.TrailingZeroCount(after != 0 ? after : awake);
    }

    private void Open(int depth, ulong enabled, ulong awake)
    {
        if (depth == _order.Capacity)
            Grow();
        int task = Prefer(awake, depth);
        _sleep[depth] = SleepAt(depth);
        for (int other = 0; other < _tasks && depth > 0 && _order.HasMemory; other++)
            _order.FootprintAt(depth, other) = (_sleep[depth] >> other & 1) != 0 ? _order.FootprintAt(depth - 1, other) : null;
        _enabled[depth] = enabled;
        _backtrack[depth] = _isReduced ? 1UL << task : awake;
        _done[depth] = 0;
        _preemptions[depth] = PreemptionsBefore(depth);
        _order.TaskAt(depth) = task;
    }

    private void Grow()
    {
        int size = _order.Capacity * 2;
        _order.Grow();
        Array.Resize(ref _enabled, size);
        Array.Resize(ref _backtrack, size);
        Array.Resize(ref _done, size);
        Array.Resize(ref _sleep, size);
        Array.Resize(ref _preemptions, size);
    }

    bool IRaces.WasTried(int depth, int task) => ((_done[depth] | _sleep[depth]) >> task & 1) != 0;

    void IRaces.Reverse(int early, ulong initials, int preferred)
    {
        if ((initials & _backtrack[early]) != 0)
            return;
        _backtrack[early] |= Choices.OneOf(initials & _enabled[early], preferred);
        if (early < _root)
            _outer.Add((early, initials, preferred));
    }

    // The deepest place where something is left to choose; it is chosen.
    private bool Backtrack()
    {
        for (int depth = _frames - 1; depth >= _root; depth--)
        {
            _done[depth] |= 1UL << _order.TaskAt(depth);
            ulong left = LeftAt(depth);
            if (left == 0)
                continue;
            _order.TaskAt(depth) = BitOperations.TrailingZeroCount(left);
            _prefix = depth;
            _frames = depth + 1;
            return true;
        }
        _frames = _root;
        return false;
    }

    private ulong LeftAt(int depth) => _backtrack[depth] & _enabled[depth] & ~_done[depth] & ~_sleep[depth];

    /// <summary>What others must try that explore the choices above the branch, in the order in which it was found.</summary>
    internal IReadOnlyList<(int Depth, ulong Initials, int Preferred)> Outer => _outer;

    /// <summary>Hands over what is left to explore.</summary>
    /// <param name="branch">The branch that was begun; null for everything.</param>
    /// <returns>The choices below the branch, outermost first.</returns>
    internal List<Choices> HandOver(Branch? branch)
    {
        List<Choices> left = [];
        Choices? parent = branch?.From;
        int task = branch?.Task ?? 0;
        ulong doneBefore = branch?.Done ?? 0;
        double weight = branch?.From.Weight ?? 1;
        for (int depth = _root; depth < _frames; depth++)
        {
            weight /= Math.Max(1, BitOperations.PopCount(_backtrack[depth] & _enabled[depth] & ~_sleep[depth]));
            Choices choices = new(parent, depth, task, doneBefore, _enabled[depth], _sleep[depth], _preemptions[depth], weight)
            {
                Backtrack = _backtrack[depth],
                // The last choice is about to be made.
                Done = depth == _frames - 1 ? _done[depth] : _done[depth] | (1UL << _order.TaskAt(depth)),
                Footprints = _order.HasMemory ? [.. Enumerable.Range(0, _tasks).Select(t => _order.FootprintAt(depth, t))] : null,
            };
            left.Add(choices);
            parent = choices;
            task = _order.TaskAt(depth);
            doneBefore = _done[depth];
        }
        return left;
    }

    /// <summary>The memory that the first step of the branch touched; null if none.</summary>
    internal Step[]? FootprintOfBranch => _order.FootprintAt(_root - 1, _order.TaskAt(_root - 1));
}

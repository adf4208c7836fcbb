using System.Numerics;
using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Strategies;

/// <summary>
/// Depth first through the tree of choices: each execution repeats the one before it up to the deepest state in which something
/// is left to choose. What is to be chosen is up to those who derive from it.
/// </summary>
internal abstract class TreeStrategy : IStrategy
{
    private readonly TreeFrontier _frontier;

    // By depth: what can be done, what is to be chosen, what was chosen, what leads to nothing new, and the present choice.
    private ulong[] _enabled = new ulong[32];
    private ulong[] _backtrack = new ulong[32];
    private ulong[] _done = new ulong[32];
    private ulong[] _sleep = new ulong[32];
    private int[] _choice = new int[32];

    // The branch that was taken; null for the whole tree. Choices above the root are somebody else's.
    private Branch? _branch;
    private int _root;
    private int _frames;

    // Steps before this depth are those of the execution before; and how many of them this strategy has seen itself.
    private int _prefix;
    private int _known;

    // Whether the choice that the next execution makes is found, and whether the branch's own was tried.
    private bool _hasNext;
    private bool _isBranchTried;

    /// <summary>Makes the strategy of a thread.</summary>
    protected TreeStrategy(TreeFrontier frontier, IExplored program, Execution execution)
    {
        _frontier = frontier;
        Program = program;
        Execution = execution;
    }

    /// <inheritdoc/>
    public virtual bool IsCut => false;

    /// <inheritdoc/>
    public (long Choices, double Weight) Left
    {
        get
        {
            long choices = 0;
            double left = 0;
            double weight = _branch?.From.Weight ?? 1;
            for (int depth = _root; depth < _frames; depth++)
            {
                weight /= BranchesAt(depth);
                int count = BitOperations.PopCount(OpenAt(depth));
                choices += count;
                left += weight * count;
            }
            return (choices, left);
        }
    }

    /// <inheritdoc/>
    public int Repeated => Execution.Depth < _frames ? _choice[Execution.Depth] : -1;

    protected IExplored Program { get; }

    protected Execution Execution { get; }

    /// <summary>Steps of the present execution before this depth are those of the execution before.</summary>
    protected int Prefix => _prefix;

    /// <inheritdoc/>
    public bool Take(long executionsMax)
    {
        if (!_frontier.Take(out _branch))
            return false;
        _hasNext = true;
        _isBranchTried = false;
        _root = _prefix = _frames = _branch?.Depth ?? 0;
        _known = int.MaxValue;
        if (_branch is not null)
            Follow(_branch);
        return true;
    }

    /// <inheritdoc/>
    public void GiveBack()
    {
        List<Choices> left = [];
        Choices? parent = _branch?.From;
        int task = _branch?.Task ?? 0;
        ulong doneBefore = _branch?.Done ?? 0;
        double weight = _branch?.From.Weight ?? 1;
        for (int depth = _root; depth < _frames; depth++)
        {
            weight /= BranchesAt(depth);
            Choices choices = new(parent, depth, task, doneBefore, _enabled[depth], _sleep[depth], weight)
            {
                Backtrack = _backtrack[depth],
                // The last choice is about to be made.
                Done = depth == _frames - 1 ? _done[depth] : _done[depth] | (1UL << _choice[depth]),
                Footprints = FootprintsAt(depth),
            };
            left.Add(choices);
            parent = choices;
            task = _choice[depth];
            doneBefore = _done[depth];
        }
        _frontier.GiveBack(_branch, left);
    }

    /// <inheritdoc/>
    public bool Begin()
    {
        if (_hasNext)
            BeginExecution();
        return _hasNext;
    }

    /// <inheritdoc/>
    public int Choose(ulong enabled)
    {
        int depth = Execution.Depth;
        ulong sleep = SleepAt(depth);
        ulong awake = Allowed(depth, enabled) & ~sleep;
        if (awake == 0)
            return -1;
        if (depth == _enabled.Length)
            Grow();
        int task = Prefer(awake, depth);
        _sleep[depth] = sleep;
        _enabled[depth] = enabled;
        _done[depth] = 0;
        _choice[depth] = task;
        _backtrack[depth] = ToChoose(depth, task, awake);
        _frames = depth + 1;
        return task;
    }

    /// <inheritdoc/>
    public bool Did()
    {
        Did(Execution.Depth - 1);
        return true;
    }

    /// <inheritdoc/>
    public void Ended()
    {
        _known = int.MaxValue;
        EndExecution();
        // What the first step touches must be known before the choices beside it are made.
        if (_branch is not null && !_isBranchTried)
            _frontier.Know(_branch, FootprintsAt(_root - 1)?[_branch.Task]);
        _isBranchTried = true;
        _hasNext = Backtrack();
    }

    /// <summary>What is to be chosen in a state that was not seen before.</summary>
    /// <param name="depth">Its depth.</param>
    /// <param name="task">What is chosen first.</param>
    /// <param name="awake">What may be chosen.</param>
    protected abstract ulong ToChoose(int depth, int task, ulong awake);

    /// <summary>The tasks whose next step leads to nothing new.</summary>
    protected virtual ulong SleepAt(int depth) => 0;

    /// <summary>The tasks that a bound leaves to choose.</summary>
    protected virtual ulong Allowed(int depth, ulong enabled) => enabled;

    /// <summary>The execution is about to begin.</summary>
    protected virtual void BeginExecution()
    {
    }

    /// <summary>A step was done.</summary>
    protected virtual void Did(int depth)
    {
    }

    /// <summary>The execution has ended: what else is to be chosen may be found now.</summary>
    protected virtual void EndExecution()
    {
    }

    /// <summary>By task: what a step touches beside its point; null if none touches anything.</summary>
    protected virtual Step[]?[]? FootprintsAt(int depth) => null;

    /// <summary>A state above the root, with its choice.</summary>
    protected virtual void Follow(int depth, Step[]?[]? footprints)
    {
    }

    /// <summary>Whether a step was done before in the same place by this strategy: whoever takes over a branch has not seen the steps that lead to it.</summary>
    protected bool IsRepeated(int depth) => depth < _prefix && depth < _known;

    protected int ChoiceAt(int depth) => _choice[depth];

    protected bool IsEnabledAt(int depth, int task) => (_enabled[depth] >> task & 1) != 0;

    /// <summary>Tasks whose step in a state was done before, in this execution's place or in another's.</summary>
    protected ulong TriedAt(int depth) => _done[depth] | _sleep[depth];

    /// <summary>One of some tasks is to be chosen in a state, unless one of them is already.</summary>
    protected void ChooseToo(int depth, ulong tasks, int preferred)
    {
        if ((tasks & _backtrack[depth]) != 0)
            return;
        _backtrack[depth] |= Choices.OneOf(tasks & _enabled[depth], preferred);
        if (depth < _root)
            _frontier.ChooseToo(_branch!, depth, tasks, preferred);
    }

    // The choice that leads here, and those before it.
    private void Follow(Branch branch)
    {
        while (_root > _enabled.Length)
            Grow();
        _prefix = _root - 1;
        _known = 0;
        _choice[_root - 1] = branch.Task;
        _done[_root - 1] = branch.Done;
        for (Choices? at = branch.From; at is not null; at = at.Parent)
        {
            _enabled[at.Depth] = at.Enabled;
            _backtrack[at.Depth] = at.Backtrack;
            _sleep[at.Depth] = at.Sleep;
            if (at.Parent is not null)
            {
                _choice[at.Parent.Depth] = at.Task;
                _done[at.Parent.Depth] = at.DoneBefore;
            }
            Follow(at.Depth, at.Footprints);
        }
    }

    // The deepest place where something is left to choose; it is chosen.
    private bool Backtrack()
    {
        for (int depth = _frames - 1; depth >= _root; depth--)
        {
            _done[depth] |= 1UL << _choice[depth];
            ulong left = OpenAt(depth);
            if (left == 0)
                continue;
            _choice[depth] = BitOperations.TrailingZeroCount(left);
            _prefix = depth;
            _frames = depth + 1;
            return true;
        }
        _frames = _root;
        return false;
    }

    private ulong OpenAt(int depth) => _backtrack[depth] & _enabled[depth] & ~_done[depth] & ~_sleep[depth];

    private int BranchesAt(int depth) => Math.Max(1, BitOperations.PopCount(_backtrack[depth] & _enabled[depth] & ~_sleep[depth]));

    // Turn by turn, so that first executions have tasks in each other's way.
    private int Prefer(ulong awake, int depth)
    {
        ulong after = depth > 0 ? awake & ~((2UL << _choice[depth - 1]) - 1) : awake;
        return BitOperations.TrailingZeroCount(after != 0 ? after : awake);
    }

    private void Grow()
    {
        int size = _enabled.Length * 2;
        Array.Resize(ref _enabled, size);
        Array.Resize(ref _backtrack, size);
        Array.Resize(ref _done, size);
        Array.Resize(ref _sleep, size);
        Array.Resize(ref _choice, size);
    }
}

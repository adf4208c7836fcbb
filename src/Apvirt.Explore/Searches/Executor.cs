using Apvirt.Explore.Engine;
using Apvirt.Explore.Strategies;

namespace Apvirt.Explore.Searches;

/// <summary>Does executions as a strategy decides, and counts what comes of them.</summary>
internal sealed class Executor
{
    private const int Undecided = -1;
    private const int Over = -2;

    private readonly IExplored _program;
    private readonly ExploreOptions _options;
    private readonly Func<IExecution, bool>? _completed;
    private readonly Execution _execution = new();

    private long _executions;
    private long _deadlocks;
    private long _blocked;
    private int _deepest;
    private int[]? _firstDeadlock;
    private bool _isTooDeep;

    // Of the present execution: who does the next step if that is decided, whether it came to its end, and whether the present
    // step is over where its task stands.
    private int _next;
    private bool _isComplete;
    private bool _isStepOver;

    /// <summary>Makes an executor.</summary>
    /// <param name="program">What to explore.</param>
    /// <param name="options">How and how far.</param>
    /// <param name="frontier">What is left to do.</param>
    /// <param name="completed">Called after each complete execution; false ends the search as a violation.</param>
    internal Executor(IExplored program, ExploreOptions options, Frontier frontier, Func<IExecution, bool>? completed)
    {
        _program = program;
        _options = options;
        _completed = completed;
        Strategy = frontier.Join(program, _execution);
        if (program is IStandsAmid amid)
            amid.GoesOn = GoesOn;
    }

    internal IStrategy Strategy { get; }

    /// <summary>What was found so far.</summary>
    internal ExploreResult Result => new(Verdict.BoundReached, _executions, _deadlocks, _blocked, _deepest, _firstDeadlock);

    /// <summary>Whether something was left out because of a bound.</summary>
    internal bool IsCut => _isTooDeep || Strategy.IsCut;

    /// <summary>Does the execution that the strategy has begun.</summary>
    /// <returns>False to end as a violation.</returns>
    internal bool Execute()
    {
        _program.Restart();
        _execution.Restart();
        _isComplete = false;
        _next = Undecided;
        while (true)
        {
            int task = _next == Undecided ? Decide() : _next;
            _next = Undecided;
            if (task < 0)
                break;
            _execution.Add(task, _program.Next(task));
            _isStepOver = false;
            _program.Do(task);
            if (!_isStepOver && !Strategy.Did())
                break;
        }
        _deepest = Math.Max(_deepest, _execution.Depth);
        Strategy.Ended();
        if (!_isComplete)
        {
            _blocked++;
            return true;
        }
        _executions++;
        bool isDeadlock = _program.Unfinished != 0;
        if (isDeadlock)
        {
            _deadlocks++;
            _firstDeadlock ??= _execution.Tasks.ToArray();
        }
        return (_completed is null || _completed(_execution)) && !(isDeadlock && _options.StopsAtDeadlock);
    }

    private int Decide()
    {
        if (Strategy.Repeated is >= 0 and var repeated)
            return repeated;
        ulong enabled = _program.Enabled;
        _isComplete = enabled == 0;
        if (_isComplete)
            return Over;
        if (_execution.Depth >= _options.DepthMax)
        {
            _isTooDeep = true;
            return Over;
        }
        return Strategy.Choose(enabled) is >= 0 and var task ? task : Over;
    }

    // Where a task stands in the middle of its code, it is decided there who goes on: mostly the same task, without a switch.
    private bool GoesOn(int task)
    {
        _next = Strategy.Did() ? Decide() : Over;
        _isStepOver = _next != task;
        if (_isStepOver)
            return false;
        _next = Undecided;
        _execution.Add(task, _program.Next(task));
        return true;
    }
}

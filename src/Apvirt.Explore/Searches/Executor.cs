using Apvirt.Explore.Engine;
using Apvirt.Explore.Strategies;

namespace Apvirt.Explore.Searches;

/// <summary>Does executions as a strategy decides, and counts what comes of them.</summary>
internal sealed class Executor
{
    private const int Over = -1;

    private readonly IExplored _program;
    private readonly ExploreOptions _options;
    private readonly Func<IExecution, bool>? _completed;
    private readonly Execution _execution = new();
    private readonly Func<int> _next;

    private long _executions;
    private long _deadlocks;
    private long _blocked;
    private int _deepest;
    private int[]? _firstDeadlock;
    private bool _isTooDeep;

    // Of the present execution: whether a step was done, whether it came to its end, and whether the search goes on after it.
    private bool _hasStepped;
    private bool _isComplete;
    private bool _goesOn;

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
        _next = Next;
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
        _hasStepped = false;
        _isComplete = false;
        _program.Drive(_next);
        return _goesOn;
    }

    // A task may stand in the middle of its step when this is called, and its thread with it; so all is looked at here.
    private int Next()
    {
        int task = _hasStepped && !Strategy.Did() ? Over : Decide();
        if (task < 0)
        {
            _goesOn = Finish();
            return Over;
        }
        _hasStepped = true;
        _execution.Add(task, _program.Next(task));
        return task;
    }

    private bool Finish()
    {
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
        if (enabled == 0)
        {
            _isComplete = !_program.IsHeldBack;
            return Over;
        }
        if (_execution.Depth >= _options.DepthMax)
        {
            _isTooDeep = true;
            return Over;
        }
        return Strategy.Choose(enabled) is >= 0 and var task ? task : Over;
    }
}

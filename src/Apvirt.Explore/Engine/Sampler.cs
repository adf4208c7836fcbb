using System.Numerics;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Explore.Engine;

/// <summary>
/// Draws schedules, for what is too large to be exhausted. Execution n of a seed is the same whoever does it: it depends on
/// the seed and n alone.
/// </summary>
internal sealed class Sampler : IExecution
{
    private readonly IExplored _program;
    private readonly ExploreOptions _options;
    private readonly List<int> _taskAt = [];
    private readonly List<Step> _stepAt = [];
    private readonly List<Step[]> _accessedAt = [];
    private readonly int[] _priority;
    private readonly List<int> _changes = [];

    // Steps of the execution that takes turns: how long executions are.
    private readonly int _length;
    private long _executions;
    private long _deadlocks;
    private long _tooLong;
    private int _deepest;
    private int[]? _firstDeadlock;

    internal Sampler(IExplored program, ExploreOptions options)
    {
        _program = program;
        _options = options;
        _priority = new int[program.TaskCount];
        if (program is IStandsAmid amid)
            amid.GoesOn = null;
        if (options.Strategy != Strategy.Priorities)
            return;
        program.Restart();
        int last = -1;
        while (program.Enabled is not 0 and var enabled && _length < options.DepthMax)
        {
            ulong after = last < 0 ? enabled : enabled & ~((2UL << last) - 1);
            last = BitOperations.TrailingZeroCount(after != 0 ? after : enabled);
            program.Do(last);
            _length++;
        }
    }

    internal Func<IExecution, bool>? Completed { get; set; }

    public int Depth => _taskAt.Count;

    public int TaskAt(int depth) => _taskAt[depth];

    public Step StepAt(int depth) => _stepAt[depth];

    public IReadOnlyList<Step> AccessedAt(int depth) => _accessedAt[depth];

    internal ExploreResult Result => new(Verdict.BoundReached, _executions, _deadlocks, _tooLong, _deepest, _firstDeadlock);

    /// <summary>Does one execution.</summary>
    /// <param name="number">Its number, from 0.</param>
    /// <returns>False to end as a violation.</returns>
    internal bool Execute(long number)
    {
        SplitMix random = new(Mix(Mix(_options.Seed) ^ (ulong)number));
        _program.Restart();
        _taskAt.Clear();
        _stepAt.Clear();
        _accessedAt.Clear();
        Array.Clear(_priority);
        _changes.Clear();
        for (int i = 0; i < _options.PriorityChanges && _length > 0; i++)
            _changes.Add((int)(random.Next() % (ulong)_length));
        while (_program.Enabled is not 0 and var enabled)
        {
            if (Depth == _options.DepthMax)
            {
                _tooLong++;
                return true;
            }
            int task = _options.Strategy == Strategy.Priorities ? First(enabled, ref random) : Any(enabled, ref random);
            _taskAt.Add(task);
            _stepAt.Add(_program.Next(task));
            _program.Do(task);
            _accessedAt.Add(_program.Accessed.ToArray());
        }
        _executions++;
        _deepest = Math.Max(_deepest, Depth);
        bool isDeadlock = _program.Unfinished != 0;
        if (isDeadlock)
        {
            _deadlocks++;
            _firstDeadlock ??= [.. _taskAt];
        }
        return (Completed is null || Completed(this)) && !(isDeadlock && _options.StopsAtDeadlock);
    }

    private static int Any(ulong enabled, ref SplitMix random)
    {
        for (ulong left = random.Next() % (ulong)BitOperations.PopCount(enabled); left > 0; left--)
            enabled &= enabled - 1;
        return BitOperations.TrailingZeroCount(enabled);
    }

    // The task of the highest priority; at the steps drawn for it, it becomes the one of the lowest.
    private int First(ulong enabled, ref SplitMix random)
    {
        int first = -1;
        for (ulong rest = enabled; rest != 0; rest &= rest - 1)
        {
            int task = BitOperations.TrailingZeroCount(rest);
            if (_priority[task] == 0)
                _priority[task] = 1 + (int)(random.Next() >> 34);
            if (first < 0 || _priority[task] > _priority[first])
                first = task;
        }
        int change = _changes.IndexOf(Depth);
        if (change >= 0)
        {
            _changes.RemoveAt(change);
            _priority[first] = -Depth - 1;
            return First(enabled, ref random);
        }
        return first;
    }

    private static ulong Mix(ulong value) => new SplitMix(value).Next();
}

using System.Diagnostics;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Strategies;

namespace Apvirt.Explore.Searches;

/// <summary>What one thread of a search explores, and who looks at its executions.</summary>
/// <param name="Program">The program.</param>
/// <param name="Completed">Called after each complete execution; false ends the search as a violation.</param>
public sealed record SearchWorker(IExplored Program, Func<IExecution, bool>? Completed = null);

/// <summary>A search with limits, on one thread or several.</summary>
/// <param name="options">How and how far.</param>
/// <param name="makeWorker">Makes what a thread needs; called once for each, one after another.</param>
public sealed class Search(ExploreOptions options, Func<SearchWorker> makeWorker)
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(100);

    private readonly Frontier _frontier = Frontier.Of(options);

    // Under the gate of the frontier.
    private readonly List<Exception> _bugs = [];
    private ExploreResult _result = ExploreResult.None;
    private long _begun;
    private int _running;
    private bool _isCut;
    private bool _isViolated;

    // Written under the gate, and looked at without.
    private volatile bool _isOver;
    private long _looked;
    private long _end = long.MaxValue;

    /// <summary>Called now and then, and at the end, from one thread at a time.</summary>
    public Action<ExploreProgress>? Progress { get; set; }

    /// <summary>Whether to end before everything was seen, asked after each execution from any thread; null for never.</summary>
    public Func<bool>? IsEnough { get; init; }

    /// <summary>Searches on one thread.</summary>
    /// <param name="program">What to explore.</param>
    /// <param name="options">How and how far.</param>
    /// <param name="completed">Called after each complete execution; false ends the search as a violation.</param>
    public static ExploreResult Run(IExplored program, ExploreOptions? options = null, Func<IExecution, bool>? completed = null) =>
        new Search((options ?? new ExploreOptions()) with { Jobs = 1 }, () => new SearchWorker(program, completed)).Run();

    /// <summary>Searches.</summary>
    public ExploreResult Run()
    {
        if (options.TimeMax != Timeout.InfiniteTimeSpan)
            _end = Stopwatch.GetTimestamp() + (long)(options.TimeMax.TotalSeconds * Stopwatch.Frequency);
        Executor[] executors = new Executor[options.Jobs];
        for (int i = 0; i < executors.Length; i++)
        {
            SearchWorker worker = makeWorker();
            executors[i] = new Executor(worker.Program, options, _frontier, worker.Completed);
        }
        // What is small is done before others could help.
        Watch(executors[0], isOnce: executors.Length > 1);
        if (executors.Length > 1)
            Share(executors);
        Report(own: null);
        if (_bugs.Count > 0)
            throw new AggregateException(_bugs);
        bool isExhausted = _frontier.MayExhaust && _frontier.Left.Choices == 0 && !_isCut;
        return _result with
        {
            States = _frontier.States,
            Hole = _frontier.Hole,
            Verdict = _isViolated ? Verdict.Violation : isExhausted ? Verdict.Exhausted : Verdict.BoundReached,
        };
    }

    private void Share(Executor[] executors)
    {
        Thread[] threads = _isOver ? [] : [.. executors.Skip(1).Select(executor => new Thread(() => Watch(executor)) { IsBackground = true })];
        foreach (Thread thread in threads)
            thread.Start();
        Watch(executors[0]);
        foreach (Thread thread in threads)
            thread.Join();
    }

    // A bug in what is explored ends the search, whatever thread it is on.
    private void Watch(Executor executor, bool isOnce = false)
    {
        try
        {
            Explore(executor, isOnce);
        }
        catch (Exception bug)
        {
            lock (_frontier.Gate)
            {
                _bugs.Add(bug);
                _isOver = true;
            }
        }
    }

    private void Explore(Executor executor, bool isOnce)
    {
        do
        {
            long slice;
            bool hasWork;
            lock (_frontier.Gate)
            {
                if (_isOver)
                    return;
                slice = Math.Min(options.Jobs == 1 ? long.MaxValue : options.Slice, options.ExecutionsMax - _begun);
                hasWork = slice > 0 && executor.Strategy.Take(slice);
                if (!hasWork && _running == 0)
                    return;
                if (hasWork)
                {
                    _running++;
                    _begun += slice;
                }
            }
            if (hasWork)
                Explore(executor, slice);
            else
                Thread.Sleep(1);
        }
        while (!isOnce);
    }

    // Explores what was taken for a while, and gives back what is left.
    private void Explore(Executor executor, long slice)
    {
        ExploreResult before = executor.Result;
        long executions = 0;
        bool goesOn = true;
        while (goesOn && executions < slice && !_isOver && !IsLate() && executor.Strategy.Begin())
        {
            goesOn = executor.Execute();
            executions++;
            if (IsEnough?.Invoke() == true)
                _isOver = true;
            // A single thread gives nothing back before the end.
            if (options.Jobs == 1 && IsTimeToLook())
                Report(executor, executor.Result.Since(before));
        }
        lock (_frontier.Gate)
        {
            _running--;
            _result = _result.With(executor.Result.Since(before));
            _begun += executions - slice;
            // What was taken and not begun is nowhere else.
            _isCut |= executor.IsCut || executions == 0;
            _isViolated |= !goesOn;
            executor.Strategy.GiveBack();
            _isOver |= _isViolated || _begun >= options.ExecutionsMax || IsLate();
            if (IsTimeToLook())
                Report(own: null);
        }
    }

    private bool IsLate() => _end != long.MaxValue && Stopwatch.GetTimestamp() >= _end;

    private bool IsTimeToLook()
    {
        if (Progress is null || Stopwatch.GetElapsedTime(_looked) < LookEvery)
            return false;
        _looked = Stopwatch.GetTimestamp();
        return true;
    }

    // What was seen is a part of the whole as far as choices go that are known; those that will become known are missing.
    private void Report(Executor? own, ExploreResult? more = null)
    {
        if (Progress is null)
            return;
        ExploreResult result = more is null ? _result : more.With(_result);
        (long choices, double weight) = _frontier.Left;
        double? completed = _frontier.Done;
        if (own is not null)
        {
            (long ownChoices, double ownWeight) = own.Strategy.Left;
            choices += ownChoices;
            weight += ownWeight;
            completed = completed is null ? null : 1 - weight;
        }
        long done = result.Executions + result.Blocked;
        Progress(new ExploreProgress(
            result.Executions, result.Blocked, choices, result.DepthReached, completed > 0 ? done * (completed + weight) / completed : null));
    }
}

using System.Diagnostics;
using System.Numerics;

namespace Apvirt.Explore.Engine;

/// <summary>What one thread of a search explores, and who looks at its executions.</summary>
/// <param name="Program">The program.</param>
/// <param name="Completed">Called after each complete execution; false ends the search as a violation.</param>
public sealed record SearchWorker(IExplored Program, Func<IExecution, bool>? Completed);

/// <summary>
/// A search with limits, on one thread or several. Each thread takes a choice that nobody has made, explores what it leads
/// to for a while, and hands over what is left, so that the executions are as many as on one thread.
/// </summary>
/// <param name="options">How and how far.</param>
/// <param name="makeWorker">Makes what a thread needs; called once for each, one after another.</param>
public sealed class Search(ExploreOptions options, Func<SearchWorker> makeWorker)
{
    private const int DrawnAtOnce = 50;
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();

    // Under the lock.
    private readonly List<Choices> _left = [];
    private readonly List<Exception> _bugs = [];
    private ExploreResult _result = ExploreResult.None;
    private long _begun;
    private int _running;
    private bool _isCut;
    private bool _isOver;
    private bool _isViolated;
    // The part of all executions that is done, by the choices that are known.
    private double _completed;

    private long _looked;
    private long _end = long.MaxValue;

    /// <summary>Called now and then, and at the end, from one thread at a time.</summary>
    public Action<ExploreProgress>? Progress { get; set; }

    /// <summary>Searches.</summary>
    public ExploreResult Run()
    {
        if (options.TimeMax != Timeout.InfiniteTimeSpan)
            _end = Stopwatch.GetTimestamp() + (long)(options.TimeMax.TotalSeconds * Stopwatch.Frequency);
        if (options.Strategy == Strategy.Hashed)
            return new HashedSearch(options, makeWorker) { Progress = Progress }.Run();
        SearchWorker[] workers = [.. Enumerable.Range(0, options.Jobs).Select(_ => makeWorker())];
        bool draws = options.Strategy is Strategy.Random or Strategy.Priorities;
        if (draws)
        {
            OnThreads(workers, Draw);
        }
        else
        {
            // What is small is done before others could help.
            Explorer first = new(workers[0].Program, options) { Completed = workers[0].Completed };
            first.Begin();
            Explore(first, branch: null, options.Jobs == 1 ? options.ExecutionsMax : Math.Min(options.Slice, options.ExecutionsMax));
            OnThreads(workers, ExploreBranches);
        }
        Report(_left, _completed);
        if (_bugs.Count > 0)
            throw new AggregateException(_bugs);
        bool isExhausted = !draws && _left.Count == 0 && !_isCut;
        return _result with { Verdict = _isViolated ? Verdict.Violation : isExhausted ? Verdict.Exhausted : Verdict.BoundReached };
    }

    private void OnThreads(SearchWorker[] workers, Action<SearchWorker> run)
    {
        if (_isOver)
            return;
        Thread[] threads = [.. workers.Skip(1).Select(worker => new Thread(() => Guarded(worker, run)) { IsBackground = true })];
        foreach (Thread thread in threads)
            thread.Start();
        Guarded(workers[0], run);
        foreach (Thread thread in threads)
            thread.Join();
    }

    private void Guarded(SearchWorker worker, Action<SearchWorker> run)
    {
        try
        {
            run(worker);
        }
        catch (Exception bug)
        {
            lock (_lock)
            {
                _bugs.Add(bug);
                _isOver = true;
            }
        }
    }

    private void ExploreBranches(SearchWorker worker)
    {
        Explorer explorer = new(worker.Program, options) { Completed = worker.Completed };
        while (true)
        {
            Branch? branch;
            long slice;
            lock (_lock)
            {
                branch = _isOver ? null : Take();
                if (branch is null && (_isOver || _running == 0))
                    return;
                slice = Math.Min(options.Slice, options.ExecutionsMax - _begun);
                if (branch is not null)
                {
                    _running++;
                    _begun += slice;
                }
            }
            if (branch is null)
            {
                Thread.Sleep(1);
                continue;
            }
            try
            {
                explorer.Begin(branch);
                // What the first step touches must be known before the choices beside it are made.
                Explore(explorer, branch, slice);
            }
            finally
            {
                lock (_lock)
                    _running--;
            }
        }
    }

    // Explores for a while, and hands over what is left.
    private void Explore(Explorer explorer, Branch? branch, long slice)
    {
        ExploreResult before = explorer.Result(Verdict.BoundReached);
        long executions = 0;
        Verdict? verdict = null;
        while (verdict is null && executions < slice && !Volatile.Read(ref _isOver) && Stopwatch.GetTimestamp() < _end)
        {
            verdict = explorer.Continue(1);
            if (executions++ == 0 && branch is not null)
                Know(branch, explorer.FootprintOfBranch);
            if (branch is null && options.Jobs == 1 && IsTimeToLook())
                LookAt(explorer);
        }
        lock (_lock)
        {
            _result = _result.With(explorer.Result(Verdict.BoundReached).Since(before));
            _begun += executions - (branch is null ? 0 : slice);
            // What was taken and not begun is nowhere else.
            _isCut |= explorer.IsCut || executions == 0;
            _isViolated |= verdict == Verdict.Violation;
            foreach ((int depth, ulong initials, int preferred) in explorer.Outer)
            {
                Choices at = branch!.From;
                while (at.Depth > depth)
                    at = at.Parent!;
                if ((initials & at.Backtrack) != 0)
                    continue;
                at.Backtrack |= Choices.OneOf(initials & at.Enabled, preferred);
                List(at);
            }
            _completed += branch?.From.Weight ?? 1;
            foreach (Choices choices in verdict is null ? explorer.HandOver(branch) : [])
            {
                _completed -= choices.LeftWeight;
                List(choices);
            }
            _isOver |= _isViolated || _begun >= options.ExecutionsMax || Stopwatch.GetTimestamp() >= _end;
            if (IsTimeToLook())
                Report(_left, _completed);
        }
    }

    // A single thread hands over nothing before the end.
    private void LookAt(Explorer explorer)
    {
        List<Choices> left = explorer.HandOver(branch: null);
        _result = explorer.Result(Verdict.BoundReached);
        Report(left, 1 - left.Sum(choices => choices.LeftWeight));
        _result = ExploreResult.None;
    }

    private void List(Choices choices)
    {
        if (choices.IsListed || choices.Left == 0)
            return;
        choices.IsListed = true;
        _left.Add(choices);
    }

    // The choice that was found last, so that there are few at a time.
    private Branch? Take()
    {
        if (_begun >= options.ExecutionsMax)
            return null;
        for (int i = _left.Count - 1; i >= 0; i--)
        {
            Choices choices = _left[i];
            if (choices.IsBeingTried)
                continue;
            Branch branch = Branch.Take(choices);
            choices.IsBeingTried = true;
            if (choices.Left == 0)
            {
                choices.IsListed = false;
                _left.RemoveAt(i);
            }
            return branch;
        }
        return null;
    }

    private void Know(Branch branch, Step[]? footprint)
    {
        lock (_lock)
        {
            branch.From.IsBeingTried = false;
            if (footprint is not null || branch.From.Footprints is not null)
                (branch.From.Footprints ??= new Step[]?[64])[branch.Task] = footprint;
        }
    }

    private void Draw(SearchWorker worker)
    {
        Sampler sampler = new(worker.Program, options) { Completed = worker.Completed };
        bool goesOn = true;
        while (goesOn)
        {
            long number;
            long end;
            lock (_lock)
            {
                if (_isOver || _begun >= options.ExecutionsMax || Stopwatch.GetTimestamp() >= _end)
                    return;
                number = _begun;
                end = _begun = Math.Min(_begun + DrawnAtOnce, options.ExecutionsMax);
            }
            ExploreResult before = sampler.Result;
            while (goesOn && number < end && Stopwatch.GetTimestamp() < _end)
                goesOn = sampler.Execute(number++);
            lock (_lock)
            {
                _isOver |= !goesOn;
                _isViolated |= !goesOn;
                _result = _result.With(sampler.Result.Since(before));
                if (IsTimeToLook())
                    Report([], 0);
            }
        }
    }

    private bool IsTimeToLook()
    {
        if (Progress is null || Stopwatch.GetElapsedTime(_looked) < LookEvery)
            return false;
        _looked = Stopwatch.GetTimestamp();
        return true;
    }

    // What was seen is a part of the whole as far as choices go that are known; those that will become known are missing.
    private void Report(IReadOnlyList<Choices> left, double completed)
    {
        double weight = left.Sum(choices => choices.LeftWeight);
        long done = _result.Executions + _result.Blocked;
        Progress?.Invoke(new ExploreProgress(
            _result.Executions, _result.Blocked, left.Sum(choices => (long)BitOperations.PopCount(choices.Left)), _result.DepthReached,
            completed > 0 ? done * (completed + weight) / completed : null));
    }
}

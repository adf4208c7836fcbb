using System.Diagnostics;
using System.Numerics;

namespace Apvirt.Explore.Engine;

/// <summary>
/// The second search: depth first over all choices, cut where a prefix of the same key was seen before. It knows nothing of
/// races, initials or sleep, and so is a check of the other one.
/// </summary>
/// <remarks>
/// It is sound if equal keys imply the same state: then each state that can be reached is expanded, by induction on the
/// length of the shortest way to it, and with it each end. A key is one chain of hashes for each task; a step adds what it
/// does and the hashes of what was done before it to the same object and does not commute with it (<see cref="KeyChains"/>).
/// That nothing is missing there is what the audit looks at: beside each key stands a fingerprint of the state, and two that
/// differ under one key are told with the two schedules that lead there.
/// </remarks>
/// <param name="options">How and how far.</param>
/// <param name="makeWorker">Makes what a thread needs; called once for each, one after another.</param>
internal sealed class HashedSearch(ExploreOptions options, Func<SearchWorker> makeWorker)
{
    private const int NodesForAWorker = 256;
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(100);

    private readonly record struct Node(UInt128 Parent, ulong Fingerprint, byte Task);

    private readonly ExploreOptions _options = options;
    private readonly Lock _lock = new();

    // Under the lock.
    private readonly Dictionary<UInt128, Node> _known = [];
    private readonly List<byte[]> _left = [];
    private readonly List<Exception> _bugs = [];
    private ExploreResult _result = ExploreResult.None;
    private string? _hole;
    private int _running;
    private bool _isCut;
    private bool _isOver;
    private bool _isViolated;

    private long _looked;
    private long _end = long.MaxValue;

    internal Action<ExploreProgress>? Progress { get; init; }

    internal ExploreResult Run()
    {
        if (_options.TimeMax != Timeout.InfiniteTimeSpan)
            _end = Stopwatch.GetTimestamp() + (long)(_options.TimeMax.TotalSeconds * Stopwatch.Frequency);
        SearchWorker[] workers = [.. Enumerable.Range(0, _options.Jobs).Select(_ => makeWorker())];
        _left.Add([]);
        Thread[] threads = [.. workers.Skip(1).Select(worker => new Thread(() => Guard(worker)) { IsBackground = true })];
        foreach (Thread thread in threads)
            thread.Start();
        Guard(workers[0]);
        foreach (Thread thread in threads)
            thread.Join();
        if (_bugs.Count > 0)
            throw new AggregateException(_bugs);
        Report();
        bool isExhausted = _left.Count == 0 && !_isCut && !_isOver;
        return _result with { States = _known.Count, Hole = _hole, Verdict = _isViolated ? Verdict.Violation : isExhausted ? Verdict.Exhausted : Verdict.BoundReached };
    }

    private void Guard(SearchWorker worker)
    {
        try
        {
            new Worker(this, worker).Run();
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

    private bool IsOver()
    {
        if (Stopwatch.GetTimestamp() >= _end || _result.Executions + _result.Blocked >= _options.ExecutionsMax)
            _isOver = true;
        return _isOver;
    }

    private void Report()
    {
        if (Progress is null || (_left.Count > 0 && Stopwatch.GetElapsedTime(_looked) < LookEvery))
            return;
        _looked = Stopwatch.GetTimestamp();
        Progress(new ExploreProgress(_result.Executions, _result.Blocked, _left.Count, _result.DepthReached, Estimate: null));
    }

    // Both ways to a key, from the start.
    private string Describe(UInt128 key, ReadOnlySpan<byte> other)
    {
        List<byte> first = [];
        for (Node at = _known[key]; first.Count <= _options.DepthMax && at.Task != byte.MaxValue; at = _known[at.Parent])
            first.Insert(0, at.Task);
        return $"{string.Join(' ', first)} | {string.Join(' ', other.ToArray())}";
    }

    /// <summary>One thread: takes a prefix, goes on from there, and leaves what else could be chosen on the way.</summary>
    private sealed class Worker(HashedSearch search, SearchWorker worker) : IExecution
    {
        private const int Undecided = -1;
        private const int Ended = -2;

        private readonly IExplored _program = worker.Program;
        private readonly KeyChains _chains = new(worker.Program.TaskCount, search._options.HoleInKeys);
        private readonly List<byte> _tasks = [];
        private readonly List<Step> _steps = [];
        private readonly List<Step[]> _accesses = [];

        // What was chosen nowhere yet on the way of the present execution, nearest last; handed over under the lock.
        private readonly List<byte[]> _found = [];

        // Of the present execution: how it begins, its key, who does the next step if that is decided, and whether the present
        // step has ended where its task stands.
        private byte[] _prefix = [];
        private UInt128 _key;
        private int _decided;
        private bool _isStepOver;

        public int Depth => _tasks.Count;

        public int TaskAt(int depth) => _tasks[depth];

        public Step StepAt(int depth) => _steps[depth];

        public IReadOnlyList<Step> AccessedAt(int depth) => _accesses[depth];

        internal void Run()
        {
            if (_program is IStandsAmid amid)
                amid.GoesOn = GoesOn;
            Stack<byte[]> own = new();
            while (true)
            {
                if (!own.TryPop(out byte[]? prefix))
                {
                    lock (search._lock)
                    {
                        if (search.IsOver() || (search._left.Count == 0 && search._running == 0))
                            return;
                        if (search._left.Count > 0)
                        {
                            prefix = search._left[^1];
                            search._left.RemoveAt(search._left.Count - 1);
                            search._running++;
                        }
                    }
                    if (prefix is null)
                    {
                        Thread.Sleep(1);
                        continue;
                    }
                }
                Execute(prefix);
                foreach (byte[] found in _found)
                    own.Push(found);
                _found.Clear();
                HandOver(own);
            }
        }

        // Others get what is farthest from here; nobody else is there if there is only one thread.
        private void HandOver(Stack<byte[]> own)
        {
            lock (search._lock)
            {
                if (search.IsOver())
                {
                    search._isCut |= own.Count > 0 || search._left.Count > 0;
                    own.Clear();
                }
                if (search._options.Jobs > 1 && search._left.Count == 0 && own.Count > NodesForAWorker / search._options.Jobs)
                {
                    byte[][] all = [.. own];
                    own.Clear();
                    for (int i = all.Length - 1; i >= 0; i--)
                    {
                        if (i % 2 == 0)
                            own.Push(all[i]);
                        else
                            search._left.Add(all[i]);
                    }
                }
                if (own.Count == 0)
                    search._running--;
                search.Report();
            }
        }

        private void Execute(byte[] prefix)
        {
            _program.Restart();
            _chains.Restart();
            _tasks.Clear();
            _steps.Clear();
            _accesses.Clear();
            _prefix = prefix;
            _key = _chains.Key;
            _decided = Undecided;
            if (prefix.Length == 0 && !Expand(_key, byte.MaxValue))
                return;
            while (true)
            {
                int task = _decided != Undecided ? _decided : Decide();
                _decided = Undecided;
                if (task == Ended)
                    return;
                BeginStep(task);
                _isStepOver = false;
                _program.Do(task);
                if (!_isStepOver && !EndStep(task))
                    return;
            }
        }

        // Which task does the next step; what else could be chosen is left for later.
        private int Decide()
        {
            if (Depth < _prefix.Length)
                return _prefix[Depth];
            ulong enabled = _program.Enabled;
            if (enabled == 0)
            {
                Complete();
                return Ended;
            }
            if (Depth >= search._options.DepthMax)
            {
                Cut();
                return Ended;
            }
            for (ulong rest = enabled & (enabled - 1); rest != 0; rest &= rest - 1)
                _found.Add([.. _tasks, (byte)BitOperations.TrailingZeroCount(rest)]);
            return BitOperations.TrailingZeroCount(enabled);
        }

        private void BeginStep(int task)
        {
            _tasks.Add((byte)task);
            _steps.Add(_program.Next(task));
        }

        // False if what follows from the step is somebody else's.
        private bool EndStep(int task)
        {
            ReadOnlySpan<Step> accessed = _program.Accessed;
            _accesses.Add(accessed.IsEmpty ? [] : accessed.ToArray());
            _chains.Add(task, _steps[^1], _program.Released, accessed);
            UInt128 before = _key;
            _key = _chains.Key;
            return Depth < _prefix.Length || Expand(before, (byte)task);
        }

        // Where a task stands in the middle of its code, it is decided there who goes on.
        private bool GoesOn(int task)
        {
            _decided = EndStep(task) ? Decide() : Ended;
            _isStepOver = _decided != task;
            if (_isStepOver)
                return false;
            _decided = Undecided;
            BeginStep(task);
            return true;
        }

        /// <summary>Stores a key. False if it was known: what follows from it is somebody else's.</summary>
        private bool Expand(UInt128 parent, byte task)
        {
            UInt128 key = _key;
            ulong fingerprint = search._options.Audits ? _program.Fingerprint : 0;
            lock (search._lock)
            {
                if (search._known.TryAdd(key, new Node(parent, fingerprint, task)))
                    return true;
                if (search._known[key].Fingerprint != fingerprint)
                    search._hole ??= search.Describe(key, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_tasks));
                search._result = search._result with { Blocked = search._result.Blocked + 1 };
                return false;
            }
        }

        private void Cut()
        {
            lock (search._lock)
            {
                search._isCut = true;
                search._result = search._result with { Blocked = search._result.Blocked + 1, DepthReached = Math.Max(search._result.DepthReached, Depth) };
            }
        }

        private void Complete()
        {
            bool isDeadlock = _program.Unfinished != 0;
            bool goesOn = worker.Completed?.Invoke(this) ?? true;
            goesOn &= !(isDeadlock && search._options.StopsAtDeadlock);
            lock (search._lock)
            {
                ExploreResult result = search._result;
                search._result = result with
                {
                    Executions = result.Executions + 1,
                    Deadlocks = result.Deadlocks + (isDeadlock ? 1 : 0),
                    DepthReached = Math.Max(result.DepthReached, Depth),
                    FirstDeadlock = result.FirstDeadlock ?? (isDeadlock ? [.. _tasks.Select(task => (int)task)] : null),
                };
                search._isViolated |= !goesOn;
                search._isOver |= !goesOn;
            }
        }
    }
}

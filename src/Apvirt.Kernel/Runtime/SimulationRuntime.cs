using System.Runtime.ExceptionServices;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Runtime;

/// <summary>
/// One thread, virtual time, and a seed that decides who runs next: the same seed gives the same run, step by step.
/// A sleep with nobody else to run moves the clock in place and does not suspend, so a single caller pays nothing for
/// the waits of the driver.
/// </summary>
public sealed class SimulationRuntime : KernelRuntime
{
    /// <summary>How long <see cref="Drive{T}"/> lets virtual time pass before it calls an operation stuck.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromHours(1);

    private readonly SimulationTime _time = new();
    private readonly List<IThreadPoolWorkItem> _runnable = [];
    private readonly bool _shuffled;
    private ExceptionDispatchInfo? _bug;
    private long _horizon = long.MaxValue;
    private SplitMix _random;

    /// <summary>Makes a runtime.</summary>
    /// <param name="seed">0: tasks run in the order in which they became runnable. Otherwise in an order drawn from the seed.</param>
    /// <param name="preemptive">Whether another task may also run before each acquisition of a lock, drawn from the seed.</param>
    public SimulationRuntime(ulong seed = 0, bool preemptive = false) : base(preemptive, isSerial: true)
    {
        _random = new SplitMix(seed);
        _shuffled = seed != 0;
    }

    /// <inheritdoc/>
    public override TimeProvider Time => _time;

    /// <summary>Virtual time since the runtime was made.</summary>
    public TimeSpan Now => TimeSpan.FromTicks(_time.Now);

    /// <inheritdoc/>
    public override SpawnedTask Spawn(string name, Func<KernelTask, ValueTask> body)
    {
        SpawnedTask spawned = new(CreateTask(name), body);
        MakeRunnable(spawned);
        return spawned;
    }

    /// <inheritdoc/>
    public override ulong NextRandom() => _random.Next();

    /// <inheritdoc/>
    public override ValueTask DelayAsync(KernelTask task, TimeSpan duration)
    {
        long due = _time.Now + duration.Ticks;
        if (_runnable.Count == 0 && due <= _horizon && due < _time.NextDue())
        {
            _time.Now = due;
            return default;
        }
        return base.DelayAsync(task, duration);
    }

    /// <inheritdoc/>
    public override ValueTask PointAsync(KernelTask task, object target, PointKind kind)
    {
        if (_runnable.Count == 0 || (NextRandom() & 1) == 0)
            return default;
        task.Waiter.Arm();
        MakeRunnable(task.Waiter);
        return task.Waiter.Pending;
    }

    /// <summary>
    /// Runs an operation, and everything it sets off, until it has ended or nothing can move within the horizon.
    /// </summary>
    /// <param name="operation">The operation, already begun.</param>
    /// <param name="horizon">How far virtual time may move; unlimited if null.</param>
    /// <returns>Whether the operation has ended.</returns>
    public bool Drive(ValueTask operation, TimeSpan? horizon = null)
    {
        if (operation.IsCompleted && _runnable.Count == 0)
        {
            operation.GetAwaiter().GetResult();
            return true;
        }
        Task task = operation.AsTask();
        RunUntil(() => task.IsCompleted, horizon);
        if (task.IsCompleted)
            task.GetAwaiter().GetResult();
        return task.IsCompleted;
    }

    /// <summary>Runs an operation to its end and gives its answer.</summary>
    /// <typeparam name="T">Type of the answer.</typeparam>
    /// <param name="operation">The operation, already begun.</param>
    /// <exception cref="InvalidOperationException">The operation can never end: a deadlock or a lost wake-up.</exception>
    public T Drive<T>(ValueTask<T> operation)
    {
        if (!operation.IsCompleted)
        {
            Task<T> task = operation.AsTask();
            RunUntil(() => task.IsCompleted, Patience);
            return task.IsCompleted
                ? task.GetAwaiter().GetResult()
                : throw new InvalidOperationException("the operation waits for something that can no longer happen");
        }
        T answer = operation.GetAwaiter().GetResult();
        if (_runnable.Count != 0)
            RunUntil(() => false, TimeSpan.Zero);
        return answer;
    }

    /// <summary>Runs an operation, and everything it sets off, until it has ended or nothing can move within the horizon.</summary>
    /// <typeparam name="T">Type of the answer.</typeparam>
    /// <param name="operation">The operation, already begun.</param>
    /// <param name="horizon">How far virtual time may move.</param>
    /// <param name="answer">Its answer if it has ended.</param>
    /// <returns>Whether it has ended. One that has not goes on when something wakes it.</returns>
    public bool TryDrive<T>(ValueTask<T> operation, TimeSpan horizon, out T? answer)
    {
        if (operation.IsCompleted)
        {
            answer = operation.GetAwaiter().GetResult();
            return true;
        }
        Task<T> task = operation.AsTask();
        RunUntil(() => task.IsCompleted, horizon);
        answer = task.IsCompleted ? task.GetAwaiter().GetResult() : default;
        return task.IsCompleted;
    }

    /// <summary>Lets everything run that can, until something holds that others wait for.</summary>
    /// <param name="until">Whether it holds.</param>
    /// <param name="horizon">How far virtual time may move.</param>
    public void Run(Func<bool> until, TimeSpan horizon) => RunUntil(until, horizon);

    /// <summary>Lets what is under way come to rest: runs until nothing can run and no timer is due within a window.</summary>
    /// <param name="window">How far the next timer must be away.</param>
    public void Settle(TimeSpan window)
    {
        while (_runnable.Count != 0 || (_time.NextDue() is var due && due != long.MaxValue && due - _time.Now <= window.Ticks))
            RunUntil(() => false, window);
    }

    /// <summary>Lets everything run that can, with virtual time moving at most so far.</summary>
    /// <param name="horizon">How far virtual time may move; it ends exactly there, or where it was if nothing is set to happen.</param>
    public void Advance(TimeSpan horizon)
    {
        long end = _time.Now + horizon.Ticks;
        RunUntil(() => false, horizon);
        _time.Now = end;
    }

    /// <summary>Limits how far sleeps in place may move the clock, for callers that begin an operation before driving it.</summary>
    /// <param name="horizon">How far from now; unlimited if null.</param>
    public void SetHorizon(TimeSpan? horizon) =>
        _horizon = horizon is { } limit ? _time.Now + limit.Ticks : long.MaxValue;

    internal override void OnBug(ExceptionDispatchInfo bug) => _bug ??= bug;

    internal override void MakeRunnable(IThreadPoolWorkItem runnable) => _runnable.Add(runnable);

    private void RunUntil(Func<bool> done, TimeSpan? horizon)
    {
        long end = horizon is { } limit ? _time.Now + limit.Ticks : long.MaxValue;
        long before = _horizon;
        _horizon = end;
        while (true)
        {
            if (_runnable.Count > 0)
                Next().Execute();
            else if (done() || _time.NextDue() > end || _time.NextDue() == long.MaxValue)
                break;
            else
                _time.FireNext();
        }
        _horizon = before;
        if (_bug is { } bug)
        {
            _bug = null;
            bug.Throw();
        }
    }

    private IThreadPoolWorkItem Next()
    {
        int index = _shuffled && _runnable.Count > 1 ? _random.Below(_runnable.Count) : 0;
        IThreadPoolWorkItem next = _runnable[index];
        _runnable.RemoveAt(index);
        return next;
    }
}

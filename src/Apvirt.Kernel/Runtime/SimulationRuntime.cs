using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
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
    private readonly IChooser? _chooser;

    // What can run, and the numbers of the tasks that it is of; the two have the same order.
    private readonly List<IThreadPoolWorkItem> _runnable = [];
    private readonly List<int> _able = [];

    // Who was chosen at a point to go on instead of the task there; null if nobody was.
    private IThreadPoolWorkItem? _next;
    private ExceptionDispatchInfo? _bug;
    private long _horizon = long.MaxValue;
    private SplitMix _random;

    /// <summary>Makes a runtime.</summary>
    /// <param name="seed">0: tasks run in the order in which they became runnable. Otherwise in an order drawn from the seed.</param>
    /// <param name="preemptive">Whether another task may also run before each acquisition of a lock, drawn from the seed.</param>
    public SimulationRuntime(ulong seed = 0, bool preemptive = false)
        : this(seed != 0 || preemptive ? new RandomChooser(seed) : null, seed, preemptive)
    {
    }

    /// <summary>Makes a runtime.</summary>
    /// <param name="chooser">Who decides which task runs next; null for the order in which they became runnable.</param>
    /// <param name="seed">Seed of <see cref="NextRandom"/>.</param>
    /// <param name="preemptive">Whether another task may also run before each acquisition of a lock.</param>
    public SimulationRuntime(IChooser? chooser, ulong seed, bool preemptive) : base(preemptive, isSerial: true)
    {
        _random = new SplitMix(seed);
        _chooser = chooser;
        chooser?.Begin(0);
    }

    /// <inheritdoc/>
    public override TimeProvider Time => _time;

    /// <summary>Virtual time since the runtime was made.</summary>
    public TimeSpan Now => TimeSpan.FromTicks(_time.Now);

    /// <inheritdoc/>
    public override SpawnedTask Spawn(string name, Func<KernelTask, ValueTask> body)
    {
        SpawnedTask spawned = new(CreateTask(name), body);
        MakeRunnable(spawned.Task, spawned);
        return spawned;
    }

    /// <inheritdoc/>
    public override ulong NextRandom() => _random.Next();

    /// <inheritdoc/>
    public override ValueTask DelayAsync(KernelTask task, TimeSpan duration)
    {
        long due = _time.Now + duration.Ticks;
        if (!HasNext && due <= _horizon && due < _time.NextDue())
        {
            _time.Now = due;
            return default;
        }
        return base.DelayAsync(task, duration);
    }

    /// <inheritdoc/>
    public override ValueTask PointAsync(KernelTask task, object target, PointKind kind)
    {
        if (_runnable.Count == 0 || _chooser is null)
            return default;
        _able.Add(task.Id);
        int chosen = _chooser.Choose(CollectionsMarshal.AsSpan(_able), running: true);
        _able.RemoveAt(_able.Count - 1);
        if (chosen == _able.Count)
            return default;
        _next = Take(chosen);
        task.Waiter.Arm();
        MakeRunnable(task, task.Waiter);
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
        if (operation.IsCompleted && !HasNext)
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
        if (HasNext)
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
        while (HasNext || (_time.NextDue() is var due && due != long.MaxValue && due - _time.Now <= window.Ticks))
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

    internal override void MakeRunnable(KernelTask task, IThreadPoolWorkItem runnable)
    {
        _runnable.Add(runnable);
        _able.Add(task.Id);
    }

    private void RunUntil(Func<bool> done, TimeSpan? horizon)
    {
        long end = horizon is { } limit ? _time.Now + limit.Ticks : long.MaxValue;
        long before = _horizon;
        _horizon = end;
        while (true)
        {
            if (HasNext)
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

    private bool HasNext => _next is not null || _runnable.Count > 0;

    private IThreadPoolWorkItem Next()
    {
        if (_next is { } chosen)
        {
            _next = null;
            return chosen;
        }
        return Take(_runnable.Count > 1 && _chooser is not null ? _chooser.Choose(CollectionsMarshal.AsSpan(_able), running: false) : 0);
    }

    private IThreadPoolWorkItem Take(int index)
    {
        IThreadPoolWorkItem taken = _runnable[index];
        _runnable.RemoveAt(index);
        _able.RemoveAt(index);
        return taken;
    }
}

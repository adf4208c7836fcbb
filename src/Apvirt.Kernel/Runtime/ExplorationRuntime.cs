using System.Runtime.ExceptionServices;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Runtime;

/// <summary>A task whose steps somebody else decides.</summary>
public sealed class SteppedTask
{
    internal SteppedTask(int index, KernelTask task)
    {
        Index = index;
        Task = task;
    }

    /// <summary>Number of the task, from 0 in the order of their starts.</summary>
    public int Index { get; }

    /// <summary>The task.</summary>
    public KernelTask Task { get; }

    /// <summary>The lock or completion before which it stands, null if it stands before none.</summary>
    public object? Target { get; internal set; }

    /// <summary>What it is about to do to the target.</summary>
    public PointKind Kind { get; internal set; }

    /// <summary>Whether it has ended.</summary>
    public bool HasEnded => Spawned.IsCompleted;

    /// <summary>What it is about to do in the middle of its code, where it stands: releases, reads or writes something; null if it does not.</summary>
    public string? Amid { get; internal set; }

    /// <summary>Whether it can do a step: it was woken, or what it is about to acquire is free.</summary>
    public bool CanStep => Item is not null || Amid is not null || (Target is not null && Kind is PointKind.Try or PointKind.TryShared or PointKind.Unlock or PointKind.Enter or PointKind.Delete) || (Target is not null && Target switch
    {
        KernelMutex mutex => !mutex.IsTaken,
        KernelRwSemaphore semaphore => semaphore.Admits(Kind == PointKind.Lock ? LockMode.Write : LockMode.Read),
        _ => true,
    });

    internal SpawnedTask Spawned { get; set; } = null!;

    /// <summary>Whether it was started or woken, and goes on from there.</summary>
    public bool IsWoken => Item is not null;

    internal IThreadPoolWorkItem? Item { get; set; }

    // What goes on when the step at the target is done.
    internal TaskWaiter Waiter { get; set; } = null!;
}

/// <summary>
/// Carries tasks that may stand still in the middle of their code, where they do not await. With one, points are
/// everywhere: before releases and accesses too.
/// </summary>
public interface IStepCarrier
{
    /// <summary>Runs a step of a task until the task awaits, ends or stands still.</summary>
    /// <param name="task">Number of the task.</param>
    /// <param name="step">The step.</param>
    void Run(int task, Action step);

    /// <summary>Lets a task that stands still go on, as <see cref="Run"/> does.</summary>
    /// <param name="task">Number of the task.</param>
    void GoOn(int task);

    /// <summary>Called by a step: the task stands still until it is let go on.</summary>
    /// <param name="task">Number of the task.</param>
    void Stand(int task);
}

/// <summary>Is told of what happens within a step that is none of its own.</summary>
public interface IStepListener
{
    /// <summary>A lock was released.</summary>
    /// <param name="target">The lock.</param>
    /// <param name="isShared">Whether it was held shared.</param>
    void Released(object target, bool isShared);

    /// <summary>A guarded field was accessed, under its locks or not.</summary>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="rule">The rule of the field.</param>
    /// <param name="isWrite">Whether it was written.</param>
    void Accessed(object owner, GuardRule rule, bool isWrite);

    /// <summary>Something was accessed that no rule guards.</summary>
    /// <param name="what">What.</param>
    /// <param name="isWrite">Whether it was written.</param>
    void Touched(string what, bool isWrite);

    /// <summary>A spin lock was taken or released within the step.</summary>
    /// <param name="spinLock">The lock.</param>
    /// <param name="isReleased">Whether it was released.</param>
    void Passed(KernelSpinLock spinLock, bool isReleased);

    /// <summary>A task stands before an acquisition.</summary>
    /// <param name="task">The task.</param>
    void Arrived(SteppedTask task);

    /// <summary>A task stands in the middle of its code, before a release or an access.</summary>
    /// <param name="task">The task.</param>
    void Standing(SteppedTask task);

    /// <summary>A task was started or woken.</summary>
    /// <param name="task">The task.</param>
    void Woken(SteppedTask task);
}

/// <summary>
/// The runtime of exploration: one thread, and whoever explores decides which task does its next step. A task stands still
/// before each acquisition. Time moves only when nobody can step (reference/runtime.md).
/// </summary>
/// <remarks>
/// Until <see cref="Begin"/> there are no points: what is prepared runs in the order in which it is started. An access to a
/// guarded field is no point of its own, but the listener is told of it, so that steps which meet in a field are tried in
/// either order also where a lock is missing. With a <see cref="Carrier"/> releases and accesses are points as well.
/// </remarks>
public sealed class ExplorationRuntime : KernelRuntime
{
    private const int FiringsMax = 1000;

    private readonly SimulationTime _time = new();
    private readonly Queue<IThreadPoolWorkItem> _preparing = new();
    private readonly List<SteppedTask> _tasks = [];
    private readonly Dictionary<KernelTask, SteppedTask> _byTask = [];
    private IStepListener? _listener;
    private ExceptionDispatchInfo? _bug;
    private SplitMix _random = new(1);
    private int _firings;

    // The task that does a step now; and how many sections it is in that are one step wherever points are.
    private SteppedTask? _stepping;
    private int _sections;

    /// <summary>Carries tasks that stand still in the middle of their code; null to have them stand where they await only.</summary>
    public IStepCarrier? Carrier { get; init; }

    /// <summary>With a <see cref="Carrier"/>: the fields before whose accesses there are points; null for all, and all releases.</summary>
    public IReadOnlySet<string>? PointsAt { get; init; }

    /// <inheritdoc/>
    public override TimeProvider Time => _time;

    /// <inheritdoc/>
    public override bool IsSerial => true;

    /// <inheritdoc/>
    public override bool HasPoints => true;

    /// <summary>The tasks that were started since exploration began.</summary>
    public IReadOnlyList<SteppedTask> Tasks => _tasks;

    /// <summary>Whether time passed until it was given up that anybody could step again; somebody waits for ever, timer after timer.</summary>
    public bool GaveUpOnTime => _firings > FiringsMax;

    /// <summary>Runs something to its end without points.</summary>
    /// <typeparam name="T">Type of the answer.</typeparam>
    /// <param name="operation">The operation, already begun.</param>
    /// <exception cref="InvalidOperationException">It never ends.</exception>
    public T Prepare<T>(ValueTask<T> operation) => TryPrepare(operation, out T? answer)
        ? answer!
        : throw new InvalidOperationException("the preparation waits for something that can no longer happen");

    /// <summary>Runs something to its end without points, if it has one.</summary>
    /// <typeparam name="T">Type of the answer.</typeparam>
    /// <param name="operation">The operation, already begun.</param>
    /// <param name="answer">Its answer.</param>
    /// <returns>False if nothing moves any more, or timers seem to go on for ever.</returns>
    public bool TryPrepare<T>(ValueTask<T> operation, out T? answer)
    {
        Task<T> task = operation.AsTask();
        int firings = 0;
        while (!task.IsCompleted || _preparing.Count > 0)
        {
            if (_preparing.TryDequeue(out IThreadPoolWorkItem? item))
            {
                item.Execute();
            }
            else if (_time.NextDue() == long.MaxValue || firings++ == FiringsMax)
            {
                answer = default;
                return false;
            }
            else
            {
                _time.FireNext();
            }
        }
        ThrowBug();
        answer = task.GetAwaiter().GetResult();
        return true;
    }

    /// <summary>Exploration begins: from here on tasks stand still before each acquisition.</summary>
    /// <param name="listener">Who is told what happens within steps.</param>
    public void Begin(IStepListener listener) => _listener = listener;

    /// <inheritdoc/>
    public override SpawnedTask Spawn(string name, Func<KernelTask, ValueTask> body)
    {
        SpawnedTask spawned = new(CreateTask(name), body);
        if (_listener is null)
        {
            _preparing.Enqueue(spawned);
            return spawned;
        }
        SteppedTask task = new(_tasks.Count, spawned.Task) { Spawned = spawned, Item = spawned };
        _tasks.Add(task);
        _byTask.Add(spawned.Task, task);
        _listener.Woken(task);
        return spawned;
    }

    /// <summary>Lets a task do its step and go on to the next.</summary>
    /// <param name="task">A task that can step.</param>
    public void Step(SteppedTask task)
    {
        _stepping = task;
        if (task.Amid is not null)
        {
            task.Amid = null;
            Carrier!.GoOn(task.Index);
        }
        else
        {
            IThreadPoolWorkItem item = task.Item ?? task.Waiter;
            task.Item = null;
            task.Target = null;
            if (Carrier is null)
                item.Execute();
            else
                Carrier.Run(task.Index, item.Execute);
        }
        _stepping = null;
        ThrowBug();
    }

    /// <summary>Lets time pass until some task can step, no timer is set any more, or timers seem to go on for ever.</summary>
    public void LetTimePass()
    {
        while (!_tasks.Exists(task => task.CanStep) && _time.NextDue() is not long.MaxValue and var due && _firings++ < FiringsMax)
        {
            // What is due at once wakes whom it wakes, and these can go on in any order.
            while (_time.NextDue() == due)
                _time.FireNext();
        }
    }

    /// <inheritdoc/>
    public override ulong NextRandom() => _random.Next();

    /// <inheritdoc/>
    public override ValueTask PointAsync(KernelTask task, object target, PointKind kind)
    {
        if (Of(task) is not { } stepped)
            return default;
        stepped.Target = target;
        stepped.Waiter = task.Waiter;
        stepped.Kind = kind;
        _listener!.Arrived(stepped);
        task.Waiter.Arm();
        return task.Waiter.Pending;
    }

    /// <inheritdoc/>
    public override void Released(KernelTask task, object target, bool isShared)
    {
        if (Carrier is not null)
            Stand("releases", target is KernelLock kernelLock ? kernelLock.Class.Name : "");
        _listener?.Released(target, isShared);
    }

    /// <inheritdoc/>
    public override void Accessed(object owner, GuardRule rule, bool isWrite)
    {
        if (Carrier is not null)
            Stand(isWrite ? "writes" : "reads", rule.Field);
        _listener?.Accessed(owner, rule, isWrite);
    }

    // Who has a spin lock is not interrupted.
    /// <inheritdoc/>
    public override void Passed(KernelSpinLock spinLock, bool isReleased)
    {
        _sections += isReleased ? -1 : 1;
        _listener?.Passed(spinLock, isReleased);
    }

    /// <inheritdoc/>
    public override void Touched(string what, bool isWrite)
    {
        if (Carrier is not null)
            Stand(isWrite ? "writes" : "reads", what);
        _listener?.Touched(what, isWrite);
    }

    /// <inheritdoc/>
    public override void Touched(IReadOnlyList<(string What, bool IsWrite)> all)
    {
        if (Carrier is not null)
            Stand(all.Any(one => one.IsWrite) ? "writes" : "reads", string.Join(", ", all.Select(one => one.What)));
        foreach ((string what, bool isWrite) in all)
            _listener?.Touched(what, isWrite);
    }

    /// <inheritdoc/>
    public override void EntersSection() => _sections++;

    /// <inheritdoc/>
    public override void LeavesSection() => _sections--;

    internal override void OnBug(ExceptionDispatchInfo bug) => _bug ??= bug;

    internal override void MakeRunnable(IThreadPoolWorkItem runnable)
    {
        if (runnable is TaskWaiter waiter && Of(waiter.Task) is { } task)
        {
            task.Item = runnable;
            _listener!.Woken(task);
            return;
        }
        _preparing.Enqueue(runnable);
    }

    // The worker of a queue does what it does for whoever waits for it, and is no caller of its own.
    private SteppedTask? Of(KernelTask task) =>
        _byTask.GetValueOrDefault(task) ?? (task.Lender is { } lender ? _byTask.GetValueOrDefault(lender) : null);

    private void Stand(string action, string target)
    {
        if (_stepping is not { } task || _sections > 0 || PointsAt?.Contains(target) == false)
            return;
        task.Amid = $"{action} {target}";
        _listener!.Standing(task);
        Carrier!.Stand(task.Index);
    }

    private void ThrowBug()
    {
        ExceptionDispatchInfo? bug = _bug;
        _bug = null;
        bug?.Throw();
    }
}

using System.Runtime.ExceptionServices;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Runtime;

/// <summary>
/// The runtime of exploration: one thread, and whoever explores decides which task does its next step. A task stands still
/// before each acquisition, wait and sleep, and goes on only when what it stands before can be done.
/// </summary>
/// <remarks>
/// Until <see cref="Begin"/> there are no points: what is prepared runs in the order in which it is started. An access to what is
/// shared is no point of its own, but the listener is told of it, so that steps which meet are tried in either order. With a
/// <see cref="Carrier"/> there are points before accesses, spin sections and releases as well, where they are wanted.
/// </remarks>
public sealed class ExplorationRuntime : KernelRuntime
{
    /// <summary>The most tasks of one execution.</summary>
    public const int TasksMax = 32;

    private const int FiringsMax = 1000;

    private readonly SimulationTime _time;
    private readonly Queue<IThreadPoolWorkItem> _preparing = new();
    private readonly List<SteppedTask> _tasks = [];
    private readonly Dictionary<KernelTask, SteppedTask> _byTask = [];
    private IStepListener? _listener;
    private ExceptionDispatchInfo? _bug;
    private SplitMix _random = new(1);
    private int _firings;
    private int _roots;

    // The task that does a step now; how many sections it is in that are one step wherever points are; and how many onlookers
    // look meanwhile, whose accesses are none of the step's.
    private SteppedTask? _stepping;
    private int _sections;
    private int _onlookers;

    // Whether the step has released anything, and how many things it has done that others may come before or after: up to one
    // before any release it is still as if it were done at once (Apvirt.Explore's PointNeeds says why).
    private bool _isAfterRelease;
    private int _contended;

    /// <summary>Makes a runtime.</summary>
    public ExplorationRuntime() : base(hasPoints: true, isSerial: true, isTold: true) => _time = new SimulationTime(() => _stepping?.LocalTime ?? 0);

    /// <summary>Carries tasks that stand still in the middle of their code; null to have them stand where they await only.</summary>
    public IStepCarrier? Carrier { get; init; }

    /// <summary>With a <see cref="Carrier"/>: the fields and spin locks before which there are points; null for all, and all releases.</summary>
    public IReadOnlySet<string>? PointsAt { get; init; }

    /// <summary>Numbers of tasks; one object for all executions of a search.</summary>
    public TaskNumbers Numbers { get; init; } = new(TasksMax);

    /// <summary>
    /// Whether callers are interrupted only between the steps that operations declare and where they have to wait: what comes of
    /// that is what operations may do that are several steps each, every step at once.
    /// </summary>
    public bool OnlySteps { get; init; }

    /// <summary>How many times the time of each task may be up while others can go on (M132); the order of all others is explored.</summary>
    public int EarlyMax { get; init; } = 1;

    /// <inheritdoc/>
    public override TimeProvider Time => _time;

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
        if (_listener is null)
        {
            SpawnedTask prepared = new(CreateTask(name), body);
            _preparing.Enqueue(prepared);
            return prepared;
        }
        return Start(name, body, EarlyMax, isTimer: false);
    }

    internal override bool DecidesTimers => _listener is not null;

    // A timer that sets itself again whenever it fires would never come to an end: of such a chain one fires early.
    internal override void SpawnTimer(string name, Func<KernelTask, ValueTask> body) =>
        Start(name, body, _stepping is { IsTimer: true } timer ? timer.EarlyLeft : EarlyMax, isTimer: true);

    private SpawnedTask Start(string name, Func<KernelTask, ValueTask> body, int early, bool isTimer)
    {
        string path = _stepping is { } parent ? $"{parent.Path}.{parent.Children++}" : $"{_roots++}";
        SpawnedTask spawned = new(CreateTask(name), body, path);
        SteppedTask task = new(Numbers.Of(path), spawned.Task, early) { Spawned = spawned, Item = spawned, Path = path, IsTimer = isTimer };
        _tasks.Add(task);
        _byTask.Add(spawned.Task, task);
        _listener!.Woken(task);
        return spawned;
    }

    /// <summary>The task of a number.</summary>
    /// <param name="index">The number.</param>
    public SteppedTask TaskOf(int index) => _tasks.Find(task => task.Index == index) ?? throw new ArgumentOutOfRangeException(nameof(index), index, message: null);

    /// <summary>Lets a task do its step and go on to the next.</summary>
    /// <param name="task">A task that can step.</param>
    public void Step(SteppedTask task)
    {
        _stepping = task;
        task.HasFired |= task.Kind == PointKind.Sleep;
        _isAfterRelease = false;
        _contended = task.IsWoken || task.Amid is not null || task.Kind is PointKind.Lock or PointKind.LockShared or PointKind.LockRecursive or PointKind.Begin or PointKind.Sleep ? 0 : 1;
        if (task.Amid is not null)
        {
            task.Amid = null;
            Carrier!.GoOn(task.Index);
        }
        else
        {
            IThreadPoolWorkItem item = task.Item ?? Pass(task);
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

    // What a task stands before is done. If its time is up while others can go on, time has passed for this task alone: what the
    // others do next they could have done before or after. For everybody it passes when nobody can go on.
    private TaskWaiter Pass(SteppedTask task)
    {
        bool isUp = task.Kind is PointKind.Sleep || (task.Kind is PointKind.WaitFor && task.Target is IPointTarget target && !target.CanDo(PointKind.Wait));
        if (isUp)
        {
            task.EarlyLeft--;
            task.LocalTime = Math.Max(task.LocalTime, task.Due);
        }
        return task.Waiter;
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
        if (Of(task) is not { } stepped || (OnlySteps && IsWithinStep(target, kind)))
            return default;
        stepped.Target = target;
        stepped.Waiter = task.Waiter;
        stepped.Kind = kind;
        _listener!.Arrived(stepped);
        task.Waiter.Arm();
        return task.Waiter.Pending;
    }

    /// <inheritdoc/>
    public override ValueTask DelayAsync(KernelTask task, TimeSpan duration) =>
        Of(task) is { } stepped ? SleepAsync(stepped, task, duration) : base.DelayAsync(task, duration);

    internal override ValueTask NextStepAsync(KernelTask task, string step) =>
        OnlySteps ? PointAsync(task, step, PointKind.Begin) : default;

    // What can be done at once is part of the step, and is told like what is done within any step.
    private bool IsWithinStep(object target, PointKind kind)
    {
        if (kind is PointKind.Begin or PointKind.Sleep || (target is IPointTarget waited && !waited.CanDo(kind)))
            return false;
        if (kind is not PointKind.Ask)
            Acted(target, kind);
        return true;
    }

    internal override bool Decides(KernelTask task) => Of(task) is not null;

    internal override long DueOf(KernelTask task, TimeSpan limit) => Of(task) is { } stepped ? stepped.Due = _time.GetTimestamp() + limit.Ticks : 0;

    internal override void WakeAtPoint(KernelTask task, short generation)
    {
        if (Of(task) is not { } stepped || stepped.Target is null || stepped.IsWoken || task.Waiter.Generation != generation)
            return;
        stepped.Item = task.Waiter;
        _listener!.Woken(stepped);
    }

    internal override void Acted(object target, PointKind kind)
    {
        if (!IsSeen)
            return;
        if (Carrier is not null && kind is PointKind.Unlock or PointKind.UnlockShared)
            Stand("releases", target is KernelLock kernelLock ? kernelLock.Class.Name : "", isRelease: true);
        else if (Carrier is not null && target is Completion completion && kind is not (PointKind.Wait or PointKind.WaitFor))
            Stand(kind == PointKind.Look ? "looks at" : "completes", $"completion of {completion.Owner}");
        _isAfterRelease |= kind is PointKind.Unlock or PointKind.UnlockShared or PointKind.Complete or PointKind.CompleteAll;
        _listener!.Acted(target, kind);
    }

    internal override void Accessed(object owner, FieldRule rule, string? part, AccessKind kind)
    {
        if (!IsSeen)
            return;
        if (Carrier is not null)
            Stand(kind == AccessKind.Write ? "writes" : "reads", rule.Field);
        _listener!.Accessed(owner, rule, part, kind);
    }

    internal override void AccessedToo(object owner, FieldRule rule, string? part, AccessKind kind)
    {
        if (IsSeen)
            _listener!.Accessed(owner, rule, part, kind);
    }

    // Who has a spin lock is not interrupted.
    /// <inheritdoc/>
    public override void Passed(KernelSpinLock spinLock, bool isReleased)
    {
        if (!isReleased && Carrier is not null && IsSeen)
            Stand("spins for", spinLock.Class.Name);
        _sections += isReleased ? -1 : 1;
        if (IsSeen)
            _listener!.Passed(spinLock, isReleased);
        _isAfterRelease |= isReleased;
    }

    /// <inheritdoc/>
    public override void EntersSection() => _sections++;

    /// <inheritdoc/>
    public override void LeavesSection() => _sections--;

    /// <inheritdoc/>
    public override void BeginLooking() => _onlookers++;

    /// <inheritdoc/>
    public override void EndLooking() => _onlookers--;

    // A task that stands still when the execution is given up ends with an exception (IStepCarrier.Stand), which is no bug.
    internal override void OnBug(ExceptionDispatchInfo bug) => _bug ??= bug.SourceException is OperationCanceledException ? null : bug;

    internal override void MakeRunnable(KernelTask task, IThreadPoolWorkItem runnable)
    {
        if (runnable is TaskWaiter && Of(task) is { } stepped)
        {
            stepped.Item = runnable;
            _listener!.Woken(stepped);
            return;
        }
        _preparing.Enqueue(runnable);
    }

    // What is told while nobody steps is the preparation, or time that passes.
    private bool IsSeen => _stepping is not null && _onlookers == 0 && _listener is not null;

    private async ValueTask SleepAsync(SteppedTask stepped, KernelTask task, TimeSpan duration)
    {
        DueOf(task, duration);
        ValueTask pending = PointAsync(task, this, PointKind.Sleep);
        short generation = task.Waiter.Generation;
        await using (Time.CreateTimer(_ => WakeAtPoint(task, generation), state: null, duration, Timeout.InfiniteTimeSpan))
            await pending;
    }

    // The worker of a queue does what it does for whoever waits for it, and is no caller of its own.
    private SteppedTask? Of(KernelTask task) =>
        _byTask.GetValueOrDefault(task) ?? (task.Lender is { } lender ? _byTask.GetValueOrDefault(lender) : null);

    private void Stand(string action, string target, bool isRelease = false)
    {
        if (_stepping is not { } task || _sections > 0 || PointsAt?.Contains(target) == false)
            return;
        if (PointsAt is not null && !isRelease && !_isAfterRelease && _contended++ == 0)
            return;
        task.Amid = $"{action} {target}";
        _listener!.Standing(task);
        if (_listener.GoesOn(task))
        {
            task.Amid = null;
            _isAfterRelease = false;
        }
        else
        {
            // Until it is let go on, nobody does a step, or another task does.
            _stepping = null;
            Carrier!.Stand(task.Index);
        }
        _contended = 1;
    }

    private void ThrowBug()
    {
        ExceptionDispatchInfo? bug = _bug;
        _bug = null;
        bug?.Throw();
    }
}

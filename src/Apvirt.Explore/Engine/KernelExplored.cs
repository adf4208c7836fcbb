using System.Runtime.InteropServices;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Validation;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Explore.Engine;

/// <summary>What was prepared for executions to begin with.</summary>
/// <param name="Roots">The objects that everything there can be reached from.</param>
/// <param name="Outside">Objects that can be reached too and do not belong to an execution, such as what is learnt from all of them.</param>
public sealed record PreparedState(IReadOnlyList<object> Roots, IReadOnlyList<object> Outside);

/// <summary>Tasks of the kernel layers as something to explore.</summary>
/// <param name="makeRuntime">Makes the runtime of an execution, with the numbers of tasks that it is given.</param>
/// <param name="begin">Starts the tasks, after <see cref="ExplorationRuntime.Begin"/>; makes what they need unless it is prepared.</param>
public sealed class KernelExplored(Func<TaskNumbers, ExplorationRuntime> makeRuntime, Action<ExplorationRuntime, IStepListener> begin) : IExplored, IStepListener
{
    /// <summary>The most tasks at once.</summary>
    public const int TasksMax = ExplorationRuntime.TasksMax;

    private const string Everything = "everything";
    private const int Undecided = -1;
    private const int Over = -2;

    // A search of a few executions is over before a mark would pay.
    private const int BootsBeforeMark = 16;

    private readonly Dictionary<object, int> _objects = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<int, object> _targets = [];
    private readonly Dictionary<string, int> _named = new(StringComparer.Ordinal);
    private readonly List<Step> _released = [];
    private readonly List<Step> _accessed = [];
    private readonly Dictionary<(object Owner, FieldRule Rule, string? Part), int> _fields = [];
    private readonly Step[] _next = new Step[TasksMax];
    private readonly long[] _steps = new long[TasksMax];
    private readonly RaceDetector _races = new(TasksMax);
    private readonly PointNeeds _needs = new(TasksMax);
    private StateMark? _mark;
    private int _boots;
    private SteppedTask? _stepping;

    // Who decides who goes on; and what was decided where a task stands in the middle of its code.
    private Func<int>? _decide;
    private int _decided = Undecided;

    // What the present step does first; and whether it has ended where its task stands.
    private Step _point;
    private bool _isOver;
    private bool _isTimePassing;

    /// <summary>The runtime of the present execution.</summary>
    public ExplorationRuntime Runtime { get; private set; } = null!;

    /// <inheritdoc/>
    public int TaskCount => TasksMax;

    /// <inheritdoc/>
    public ulong Enabled
    {
        get
        {
            ulong enabled = 0;
            foreach (SteppedTask task in Runtime.Tasks)
            {
                if (!task.HasEnded && task.CanStep && !MustWaitForItsTurn(task))
                    enabled |= 1UL << task.Index;
            }
            return enabled;
        }
    }

    /// <inheritdoc/>
    public ulong Unfinished
    {
        get
        {
            ulong unfinished = 0;
            foreach (SteppedTask task in Runtime.Tasks)
            {
                if (!task.HasEnded)
                    unfinished |= 1UL << task.Index;
            }
            return unfinished;
        }
    }

    /// <summary>The callers that can be exchanged; null for none.</summary>
    public Exchange? Exchange { get; set; }

    /// <inheritdoc/>
    public Turn Turn { get; private set; } = Turn.None;

    /// <inheritdoc/>
    public bool IsHeldBack => Exchange is not null && Runtime.Tasks.Any(task => !task.HasEnded && task.CanStep && MustWaitForItsTurn(task));

    /// <inheritdoc/>
    public ReadOnlySpan<Step> Released => CollectionsMarshal.AsSpan(_released);

    /// <inheritdoc/>
    public ulong WokenByTime { get; private set; }

    /// <inheritdoc/>
    public ReadOnlySpan<Step> Accessed => CollectionsMarshal.AsSpan(_accessed);

    /// <inheritdoc/>
    public bool ReleasesMayBeTried => true;

    /// <summary>Numbers of what steps are about; one object for all threads of a search.</summary>
    public ObjectNumbers Numbers { get; init; } = new();

    /// <summary>Numbers of tasks; one object for all threads of a search.</summary>
    public TaskNumbers Tasks { get; init; } = new(TasksMax);

    /// <summary>
    /// Prepares what all executions begin with. It is done for the first few; later ones begin with that state brought back. Null
    /// if whoever begins an execution makes it anew.
    /// </summary>
    public Func<ExplorationRuntime, PreparedState>? Prepare { get; init; }

    /// <summary>What carries the tasks, where they stand still in the middle of their code; null if they do not.</summary>
    internal TaskThreads? Carrier { get; init; }

    /// <summary>The fields and spin locks before which there must be points, as far as executions have shown (<see cref="PointNeeds"/>).</summary>
    public IReadOnlySet<string> NeedsPointsAt => _needs.Names;

    /// <summary>The same, where more is known to meet than this thread has seen.</summary>
    /// <param name="contended">The objects by number that accesses of several tasks met at.</param>
    internal IReadOnlySet<string> NeedsPointsGiven(IReadOnlySet<int> contended) => _needs.Given(contended);

    /// <summary>The objects by number that accesses of several tasks met at, in this search and those before (<see cref="PointNeeds"/>).</summary>
    internal HashSet<int> Contended => _needs.Contended;

    /// <summary>Whether some steps take pictures of the whole, so that their order with all others makes a difference.</summary>
    public bool HasPictures { get; init; }

    /// <summary>What has been answered so far, for the audit of known prefixes; nothing if not told.</summary>
    public Func<string> Answers { get; init; } = () => "";

    /// <summary>The step that is being done takes a picture of the whole.</summary>
    public void TakesPicture() => Access(NumberOf(Everything), StepKind.Write);

    /// <inheritdoc/>
    public ulong Fingerprint
    {
        get
        {
            Fnv hash = new();
            hash.Add(Answers());
            foreach (SteppedTask task in Runtime.Tasks.OrderBy(task => task.Index))
            {
                hash.Add((ulong)task.Index << 2 | (task.HasEnded ? 2UL : 0) | (task.CanStep ? 1UL : 0));
                if (task.HasEnded)
                    continue;
                Step next = _next[task.Index];
                hash.Add((ulong)next.Kind << 32 | (uint)next.Object);
                foreach (HeldLock held in task.Task.Held)
                    hash.Add(NameOf(held.Lock) + held.Mode.Suffix());
            }
            return hash.Value;
        }
    }

    /// <summary>The tasks that have not ended, and what they wait for.</summary>
    public StuckTasks Stuck => new([.. Runtime.Tasks.Where(task => !task.HasEnded).Select(task => new StuckTask(task.Task, task.Target))]);

    /// <summary>How many steps others than a task have done in this execution.</summary>
    /// <param name="task">The task.</param>
    public long StepsOfOthers(KernelTask task)
    {
        long steps = 0;
        foreach (SteppedTask other in Runtime.Tasks)
            steps += other.Task == task ? 0 : _steps[other.Index];
        return steps;
    }

    /// <inheritdoc/>
    public void Restart()
    {
        Array.Clear(_steps);
        _races.Restart();
        _needs.Restart();
        _stepping = null;
        _objects.Clear();
        _targets.Clear();
        _named.Clear();
        _fields.Clear();
        _released.Clear();
        _accessed.Clear();
        Carrier?.Abandon();
        if (_mark is null)
            Boot();
        else
            _mark.Restore();
        begin(Runtime, this);
        LetTimePass();
    }

    /// <summary>The next execution begins with what is prepared anew.</summary>
    public void Forget() => (_mark, _boots) = (null, 0);

    /// <inheritdoc/>
    public Step Next(int task) => _next[task];

    /// <inheritdoc/>
    public void Drive(Func<int> next)
    {
        _decide = next;
        if (Carrier is null)
            GoOn();
        else
            Carrier.Carry(GoOn);
        _decide = null;
    }

    /// <inheritdoc/>
    public void Do(int task)
    {
        _isOver = false;
        SteppedTask stepped = Runtime.TaskOf(task);
        BeginStep(stepped);
        Runtime.Step(stepped);
        if (!_isOver)
            EndStep();
        LetTimePass();
    }

    private bool MustWaitForItsTurn(SteppedTask task) =>
        Exchange?.AwaitedBy(task.Index, _steps) is >= 0 and var before && !Runtime.TaskOf(before).HasEnded;

    private void Boot()
    {
        Runtime = makeRuntime(Tasks);
        if (Prepare?.Invoke(Runtime) is { } prepared && ++_boots > BootsBeforeMark && StateMark.IsSupported)
            _mark = new StateMark([Runtime, .. prepared.Roots], [Tasks, .. Carrier is null ? Array.Empty<object>() : [Carrier], .. prepared.Outside]);
    }

    // Where a task stands in the middle of its code, it is decided there who goes on: mostly the same task.
    bool IStepListener.GoesOn(SteppedTask task)
    {
        EndStep();
        int next = _decide!();
        _isOver = next != task.Index;
        if (_isOver)
            _decided = next < 0 ? Over : next;
        else
            BeginStep(task);
        return !_isOver;
    }

    // On whatever thread explores (TaskThreads): all that it remembers is in fields.
    private void GoOn()
    {
        while (true)
        {
            int task = _decided == Undecided ? _decide!() : _decided;
            _decided = Undecided;
            if (task < 0)
                return;
            Do(task);
        }
    }

    private void BeginStep(SteppedTask stepped)
    {
        WokenByTime = 0;
        _steps[stepped.Index]++;
        _point = _next[stepped.Index];
        _released.Clear();
        _accessed.Clear();
        _stepping = stepped;
        _races.Steps(stepped);
        _needs.Steps(stepped);
        // Whoever takes pictures sees what every step does.
        if (HasPictures)
            Access(NumberOf(Everything), StepKind.Read);
    }

    // What is the step itself is not within it too.
    private void EndStep()
    {
        if (Exchange is not null)
            Turn = Exchange.TakenBy(_stepping!.Index, _steps, _stepping.HasEnded);
        _released.Remove(_point);
        _accessed.Remove(_point);
    }

    void IStepListener.Acted(object target, PointKind kind)
    {
        Step step = new(StepOf(kind), NumberOf(target));
        if (step.Kind is StepKind.Unlock or StepKind.UnlockShared)
        {
            _released.Add(step);
            _races.Released(target, step.Kind == StepKind.UnlockShared);
            _needs.Released(target, step.Kind == StepKind.UnlockShared);
            return;
        }
        // What a task has waited for it takes within its step.
        if (step.Kind == StepKind.WaitFor && _stepping is { IsWoken: false } && _point is { Kind: StepKind.Wait or StepKind.WaitFor } && _point.Object == step.Object)
            return;
        if (target is Completion && _stepping is not null)
            _needs.Accessed(step.Object, NameOf(target), step.Kind == StepKind.Look ? AccessKind.Read : AccessKind.Write);
        if (step.Kind is StepKind.Complete or StepKind.CompleteAll)
        {
            _races.Released(target, isShared: false);
            _needs.Released(target, isShared: false);
        }
        if (!_accessed.Contains(step))
            _accessed.Add(step);
    }

    void IStepListener.Accessed(object owner, FieldRule rule, string? part, AccessKind kind)
    {
        if (!_fields.TryGetValue((owner, rule, part), out int number))
            _fields.Add((owner, rule, part), number = NumberOf(part is null ? $"{rule.Field} of {owner}" : $"{rule.Field}[{part}] of {owner}"));
        Access(number, kind switch
        {
            AccessKind.Write => StepKind.Write,
            AccessKind.Add => StepKind.Add,
            _ => StepKind.Read,
        });
        if (_stepping is null)
            return;
        _needs.Accessed(number, rule.Field, kind);
        if (rule is GuardRule guard && kind != AccessKind.Glance && _races.Accessed(owner, guard, kind == AccessKind.Write, _stepping) is { } race)
            Runtime.Checks?.Violations.Add(race);
    }

    void IStepListener.Passed(KernelSpinLock spinLock, bool isReleased)
    {
        _needs.Passed(spinLock.Class.Name, isReleased);
        if (isReleased)
            _races.Released(spinLock, isShared: false);
        else
            _races.Acquired(spinLock);
    }

    // Numbers are given here, so that executions which begin alike have the same, whoever asks when.
    void IStepListener.Arrived(SteppedTask task) => _next[task.Index] = task.Kind switch
    {
        PointKind.Begin => new Step(StepKind.Local, NumberOf($"begins {task.Target}")),
        PointKind.Sleep => new Step(StepKind.Local, NumberOf("sleeps")),
        // Once time is up only when nobody can go on, a task waits like any other.
        PointKind.WaitFor when task.EarlyLeft == 0 => new Step(StepKind.Wait, NumberOf(task.Target!)),
        _ => new Step(StepOf(task.Kind), NumberOf(task.Target!)),
    };

    // What it is about to do belongs to the step, as what comes after an acquisition does.
    void IStepListener.Standing(SteppedTask task) => _next[task.Index] = new Step(StepKind.Local, NumberOf(task.Amid!));

    void IStepListener.Woken(SteppedTask task)
    {
        _released.Add(new Step(StepKind.Unlock, task.Index));
        if (_isTimePassing)
            WokenByTime |= 1UL << task.Index;
        _races.Woken(task.Index, _isTimePassing);
        _needs.Woken(task.Index, _isTimePassing);
        // Being woken is an acquisition of what the waker has released, so that what follows from waking is known.
        _next[task.Index] = new Step(StepKind.Lock, task.Index);
    }

    /// <summary>Class of the lock that a step names; null if it names none.</summary>
    /// <param name="target">Number of the object.</param>
    public LockClass? ClassOf(int target) => (_targets.GetValueOrDefault(target) as KernelLock)?.Class;

    /// <summary>Whether a step is about an object, and not about the start or the waking of the task that does it.</summary>
    /// <param name="step">The step.</param>
    internal static bool IsShared(Step step) => step.Object >= TasksMax;

    /// <summary>What a step is about, in words; empty if it goes on from where it was woken.</summary>
    /// <param name="step">The step.</param>
    public string NameOf(Step step) => !IsShared(step) ? "" : Numbers.NameOf(step.Object - TasksMax);

    private static string NameOf(object target) => target switch
    {
        KernelLock { Owner: { } owner } kernelLock => $"{kernelLock.Class.Name} of {owner}",
        KernelLock kernelLock => kernelLock.Class.Name,
        Completion completion => $"completion of {completion.Owner}",
        _ => target.ToString()!,
    };

    private static StepKind StepOf(PointKind kind) => kind switch
    {
        PointKind.Lock => StepKind.Lock,
        PointKind.LockShared => StepKind.LockShared,
        PointKind.LockRecursive => StepKind.LockRecursive,
        PointKind.Ask => StepKind.Ask,
        // Deleting always succeeds, and makes a difference to whoever enters.
        PointKind.Enter => StepKind.TryShared,
        PointKind.Delete => StepKind.Try,
        PointKind.Try => StepKind.Try,
        PointKind.TryShared => StepKind.TryShared,
        PointKind.Unlock => StepKind.Unlock,
        PointKind.UnlockShared => StepKind.UnlockShared,
        PointKind.Wait => StepKind.Wait,
        PointKind.WaitFor => StepKind.WaitFor,
        PointKind.Look => StepKind.Look,
        PointKind.Complete => StepKind.Complete,
        PointKind.CompleteAll => StepKind.CompleteAll,
        PointKind.Reset => StepKind.Reset,
        _ => throw new InvalidOperationException($"no step for {kind}"),
    };

    private int NumberOf(string name) => TasksMax + Numbers.Of(name);

    private int NumberOf(object target)
    {
        if (target is string name)
            return NumberOf(name);
        if (_objects.TryGetValue(target, out int number))
            return number;
        string own = NameOf(target);
        ref int alike = ref CollectionsMarshal.GetValueRefOrAddDefault(_named, own, out _);
        // Two objects are two, whatever they are called.
        number = NumberOf(alike++ == 0 ? own : $"{own} ({alike})");
        _objects.Add(target, number);
        _targets[number] = target;
        return number;
    }

    private void Access(int number, StepKind kind)
    {
        int known = _accessed.FindIndex(a => a.Object == number && a.Kind is StepKind.Read or StepKind.Add or StepKind.Write);
        if (known < 0)
            _accessed.Add(new Step(kind, number));
        // Who does two of them does what conflicts with either.
        else if (_accessed[known].Kind != kind)
            _accessed[known] = new Step(StepKind.Write, number);
    }

    // When all have come to rest; whom time wakes, the last step has woken.
    private void LetTimePass()
    {
        if (Enabled != 0 || Unfinished == 0 || IsHeldBack)
            return;
        _isTimePassing = true;
        Runtime.LetTimePass();
        _isTimePassing = false;
    }
}

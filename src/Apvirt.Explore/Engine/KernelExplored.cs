using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Explore.Engine;

/// <summary>Tasks of the kernel layers as something to explore: each execution prepares them anew.</summary>
/// <param name="begin">Prepares the state and starts the tasks, after <see cref="ExplorationRuntime.Begin"/>.</param>
/// <param name="makeRuntime">Makes the runtime of an execution.</param>
public sealed class KernelExplored(Func<ExplorationRuntime> makeRuntime, Action<ExplorationRuntime, IStepListener> begin) : IExplored, IStepListener
{
    /// <summary>The most tasks at once.</summary>
    public const int TasksMax = 32;

    private const string Everything = "everything";

    private readonly Dictionary<object, int> _objects = new(ReferenceEqualityComparer.Instance);
    private readonly List<Step> _released = [];
    private readonly List<Step> _accessed = [];
    private readonly Dictionary<(object Owner, GuardRule Rule), int> _fields = [];

    // Numbers that were asked for before.
    private readonly Dictionary<string, int> _fieldNames = new(StringComparer.Ordinal);
    private readonly Step[] _next = new Step[TasksMax];
    private readonly long[] _steps = new long[TasksMax];
    private readonly RaceDetector _races = new(TasksMax);
    private SteppedTask? _stepping;

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
                if (!task.HasEnded && task.CanStep)
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

    /// <inheritdoc/>
    public ReadOnlySpan<Step> Released => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_released);

    /// <inheritdoc/>
    public ReadOnlySpan<Step> Accessed => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_accessed);

    /// <summary>Numbers of fields; one object for all threads of a search.</summary>
    public FieldNumbers Fields { get; init; } = new();

    /// <summary>What carries the tasks, where they stand still in the middle of their code; null if they do not.</summary>
    internal TaskThreads? Carrier { get; init; }

    /// <summary>The fields that were accessed by two tasks with nothing to order them, in any execution.</summary>
    public SortedSet<string> RacyFields { get; } = new(StringComparer.Ordinal);

    /// <summary>Whether some steps take pictures of the whole, so that their order with all others makes a difference.</summary>
    public bool HasPictures { get; init; }

    /// <summary>The step that is being done takes a picture of the whole.</summary>
    public void TakesPicture() => Access(NumberOf(Everything), isWrite: true);

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
        _stepping = null;
        _objects.Clear();
        _fields.Clear();
        _released.Clear();
        _accessed.Clear();
        Carrier?.Abandon();
        Runtime = makeRuntime();
        begin(Runtime, this);
        LetTimePass();
        _released.Clear();
        _accessed.Clear();
    }

    /// <inheritdoc/>
    public Step Next(int task) => _next[task];

    /// <inheritdoc/>
    public void Do(int task)
    {
        _released.Clear();
        _accessed.Clear();
        _steps[task]++;
        _stepping = Runtime.Tasks[task];
        _races.Steps(_stepping);
        if (HasPictures)
            Access(NumberOf(Everything), isWrite: false);
        Step step = _next[task];
        Runtime.Step(Runtime.Tasks[task]);
        // What is the step itself is not within it too.
        _released.Remove(step);
        LetTimePass();
    }

    void IStepListener.Released(object target, bool isShared)
    {
        _released.Add(new Step(isShared ? StepKind.UnlockShared : StepKind.Unlock, NumberOf(target)));
        _races.Released(target, isShared);
    }

    void IStepListener.Accessed(object owner, GuardRule rule, bool isWrite)
    {
        if (!_fields.TryGetValue((owner, rule), out int number))
            _fields.Add((owner, rule), number = NumberOf($"{rule.Field} of {owner}"));
        Access(number, isWrite);
        if (_stepping is not null && _races.Accessed(owner, rule, isWrite, _stepping) is { } race)
        {
            RacyFields.Add(rule.Field);
            Runtime.Checks?.Violations.Add(race);
        }
    }

    void IStepListener.Passed(KernelSpinLock spinLock, bool isReleased)
    {
        if (isReleased)
            _races.Released(spinLock, isShared: false);
        else
            _races.Acquired(spinLock);
    }

    void IStepListener.Touched(string what, bool isWrite) => Access(NumberOf(what), isWrite);

    private int NumberOf(string field)
    {
        if (!_fieldNames.TryGetValue(field, out int number))
            _fieldNames.Add(field, number = TasksMax + (2 * Fields.Of(field)) + 1);
        return number;
    }

    private void Access(int number, bool isWrite)
    {
        Step access = new(isWrite ? StepKind.Write : StepKind.Read, number);
        int known = _accessed.FindIndex(a => a.Object == number);
        if (known < 0)
            _accessed.Add(access);
        else if (isWrite)
            _accessed[known] = access;
    }

    // Numbers are given here, so that executions which begin alike have the same, whoever asks when.
    void IStepListener.Arrived(SteppedTask task) => _next[task.Index] = task.Kind switch
    {
        PointKind.Lock => new Step(StepKind.Lock, NumberOf(task.Target!)),
        // Deleting always succeeds, and makes a difference to whoever enters.
        PointKind.Enter => new Step(StepKind.TryShared, NumberOf(task.Target!)),
        PointKind.Delete => new Step(StepKind.Try, NumberOf(task.Target!)),
        PointKind.Try => new Step(StepKind.Try, NumberOf(task.Target!)),
        PointKind.TryShared => new Step(StepKind.TryShared, NumberOf(task.Target!)),
        PointKind.Unlock => new Step(StepKind.Unlock, NumberOf(task.Target!)),
        PointKind.LockShared => new Step(StepKind.LockShared, NumberOf(task.Target!)),
        PointKind.Begin => new Step(StepKind.Local, NumberOf($"begins {task.Target}")),
        _ => throw new InvalidOperationException($"no step for {task.Kind}"),
    };

    // What it is about to do belongs to the step, as what comes after an acquisition does.
    void IStepListener.Standing(SteppedTask task) => _next[task.Index] = new Step(StepKind.Local, NumberOf(task.Amid!));

    void IStepListener.Woken(SteppedTask task)
    {
        if (task.Index >= TasksMax)
            throw new InvalidOperationException($"more than {TasksMax} tasks at once cannot be explored");
        _released.Add(new Step(StepKind.Unlock, task.Index));
        _races.Woken(task.Index);
        // Being woken is an acquisition of what the waker has released, so that what follows from waking is known.
        _next[task.Index] = new Step(StepKind.Lock, task.Index);
    }

    private int NumberOf(object target)
    {
        if (_objects.TryGetValue(target, out int number))
            return number;
        number = TasksMax + (2 * _objects.Count);
        _objects.Add(target, number);
        return number;
    }

    /// <summary>Class of the lock that a step names; null if it names none.</summary>
    /// <param name="target">Number of the object.</param>
    public LockClass? ClassOf(int target) =>
        target < TasksMax ? null : (_objects.FirstOrDefault(o => o.Value == target).Key as KernelLock)?.Class;

    /// <summary>What a step in the middle of a task's code does first.</summary>
    /// <param name="step">The step.</param>
    public string DoesFirst(Step step) => _fieldNames.FirstOrDefault(field => field.Value == step.Object).Key ?? "goes on";

    // When all have come to rest; whom time wakes, the last step has woken.
    private void LetTimePass()
    {
        if (Enabled == 0 && Unfinished != 0)
            Runtime.LetTimePass();
    }
}

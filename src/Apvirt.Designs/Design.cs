using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;
using Apvirt.Explore.Searches;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Designs;

/// <summary>
/// A locking design of the past, or the final one, as a small model on the kernel's own locks: its state, and callers that
/// meet in it. One object is one execution.
/// </summary>
public abstract class Design
{
    private readonly List<string> _wrong = [];

    /// <summary>What was seen to be wrong in this execution.</summary>
    public IReadOnlyList<string> Wrong => _wrong;

    /// <summary>Starts the callers.</summary>
    /// <param name="runtime">Who runs them.</param>
    public abstract void Start(ExplorationRuntime runtime);

    /// <summary>Looks at the state when all callers have ended.</summary>
    public virtual void Look()
    {
    }

    /// <summary>Starts a caller that takes locks one within the other and releases them in reverse order.</summary>
    /// <param name="runtime">Who runs it.</param>
    /// <param name="name">Its name.</param>
    /// <param name="locks">The locks, outermost first.</param>
    protected static void Nest(ExplorationRuntime runtime, string name, params KernelMutex[] locks) => runtime.Spawn(name, async task =>
    {
        foreach (KernelMutex mutex in locks)
            await mutex.LockAsync(task);
        foreach (KernelMutex mutex in locks.Reverse())
            mutex.Unlock(task);
    });

    /// <summary>Says that something is wrong.</summary>
    /// <param name="what">What.</param>
    protected void Report(string what) => _wrong.Add(what);

    /// <summary>Says that something is wrong unless a condition holds.</summary>
    /// <param name="condition">The condition.</param>
    /// <param name="what">What is wrong otherwise.</param>
    protected void Require(bool condition, string what)
    {
        if (!condition)
            Report(what);
    }
}

/// <summary>
/// Memory that callers share without a lock: each access is a point of its own, so that every order of accesses is seen.
/// </summary>
/// <typeparam name="T">Type of the value.</typeparam>
/// <param name="value">The first value.</param>
public sealed class SharedCell<T>(T value)
{
    private static readonly LockClass CellClass = new("memory", LockKind.Mutex);

    private readonly KernelMutex _access = new(CellClass);

    /// <summary>The value, for looking at it in the end.</summary>
    public T Value { get; private set; } = value;

    /// <summary>Reads.</summary>
    /// <param name="task">The reading task.</param>
    public async ValueTask<T> ReadAsync(KernelTask task)
    {
        await _access.LockAsync(task);
        T read = Value;
        _access.Unlock(task);
        return read;
    }

    /// <summary>Writes.</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="written">The new value.</param>
    public async ValueTask WriteAsync(KernelTask task, T written)
    {
        await _access.LockAsync(task);
        Value = written;
        _access.Unlock(task);
    }
}

/// <summary>What exploring a design found.</summary>
/// <param name="Result">How far it came.</param>
/// <param name="Defects">What was wrong in some execution, and in how many.</param>
/// <param name="Reports">What the lock validator and the other checks reported.</param>
/// <param name="Cycles">What became of the cycles that the validator predicts to deadlock.</param>
public sealed record DesignResult(
    ExploreResult Result, IReadOnlyDictionary<string, long> Defects, IReadOnlyList<Violation> Reports, IReadOnlyList<PredictedCycle> Cycles)
{
    /// <summary>The defects, each with the simplest schedule that shows it.</summary>
    public IReadOnlyList<ScenarioViolation> Violations { get; init; } = [];
}

/// <summary>Explores a design to the end.</summary>
public static class DesignSearch
{
    /// <summary>What is reported when callers wait for each other for ever.</summary>
    public const string Deadlock = "deadlock";

    /// <summary>Explores.</summary>
    /// <param name="make">Makes the design anew for each execution.</param>
    /// <param name="options">How far.</param>
    /// <param name="isEnough">As <see cref="Search.IsEnough"/>.</param>
    public static DesignResult Run(Func<Design> make, ExploreOptions? options = null, Func<bool>? isEnough = null)
    {
        KernelChecks checks = new();
        SortedDictionary<string, (long Count, Schedule Schedule)> defects = new(StringComparer.Ordinal);
        List<string[]> circles = [];
        Design design = null!;
        KernelExplored program = Explored(() => design = make(), checks);
        ScheduleRecorder recorder = new(program);
        // One model, one thread.
        ExploreResult result = new Search((options ?? new ExploreOptions()) with { Jobs = 1 }, () => new SearchWorker(program, execution =>
        {
            if (program.Unfinished != 0)
            {
                Count(Deadlock, execution);
                circles.AddRange(program.Stuck.Circles);
            }
            else
            {
                design.Look();
            }
            foreach (string wrong in design.Wrong)
                Count(wrong, execution);
            return true;
        })) { IsEnough = isEnough }.Run();
        Violation[] reports = checks.Violations.ToArray();
        SourceMap source = new();
        return new DesignResult(
            result, defects.ToDictionary(defect => defect.Key, defect => defect.Value.Count), reports,
            [.. reports.Select(report => PredictedCycle.Of(report.Locks, circles, result.Verdict)).OfType<PredictedCycle>()])
        {
            Violations = [.. defects.Select(defect => ViolationOf(defect.Key, defect.Value.Count, Detailed(make, defect.Value.Schedule, source), source))],
        };

        void Count(string defect, IExecution execution)
        {
            Schedule schedule = recorder.Of(execution);
            defects[defect] = !defects.TryGetValue(defect, out (long Count, Schedule Schedule) known) ? (1, schedule)
                : (known.Count + 1, schedule.IsSimplerThan(known.Schedule) ? schedule : known.Schedule);
        }
    }

    /// <summary>Does the steps of a schedule again.</summary>
    /// <param name="make">Makes the design.</param>
    /// <param name="schedule">The schedule, as a defect has it.</param>
    /// <param name="defects">What was wrong in it.</param>
    /// <returns>Where the design does not follow the schedule any more; null if it did to its end.</returns>
    public static string? Replay(Func<Design> make, Schedule schedule, out IReadOnlyList<string> defects)
    {
        Design design = null!;
        List<string> found = [];
        KernelExplored program = Explored(() => design = make(), new KernelChecks());
        string? divergence = new ScheduleRecorder(program).Replay(schedule, _ =>
        {
            if (program.Unfinished != 0)
                found.Add(Deadlock);
            else
                design.Look();
        }, out Schedule _);
        defects = [.. found, .. design.Wrong];
        return divergence;
    }

    private static KernelExplored Explored(Func<Design> make, KernelChecks checks) =>
        new(numbers => new ExplorationRuntime { Checks = checks, Numbers = numbers }, (runtime, listener) =>
        {
            Design design = make();
            runtime.Begin(listener);
            design.Start(runtime);
        });

    // What is reported once would not be reported again, so the checks are others.
    private static Schedule Detailed(Func<Design> make, Schedule schedule, SourceMap source) =>
        new ScheduleRecorder(Explored(make, new KernelChecks()), source).Replay(schedule, _ => { }, out Schedule done) is null ? done : schedule;

    // What breaks a rule of the specification begins with its name.
    private static ScenarioViolation ViolationOf(string defect, long count, Schedule schedule, SourceMap source)
    {
        string[] parts = defect.Split(": ", 2);
        (string rule, string summary) = defect == Deadlock ? ("V01", defect) : parts.Length == 2 ? (parts[0], parts[1]) : ("design", defect);
        return new ScenarioViolation(rule, summary, Finding: null, schedule, count) { Edges = LockEdges.Of(locks: null, schedule, source) };
    }
}

using Apvirt.Explore.Engine;
using Apvirt.Explore.Searches;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Validation;

namespace Apvirt.Explore.Scenarios;

/// <summary>Tells what tasks do in an execution as steps of a schedule, and lets them do it again.</summary>
/// <param name="program">The tasks.</param>
/// <param name="source">Which function a place in the source belongs to; null if nobody asks.</param>
public sealed class ScheduleRecorder(KernelExplored program, SourceMap? source = null)
{
    /// <summary>As <see cref="Schedule.Points"/>.</summary>
    public IReadOnlyList<string>? Points { get; init; }

    /// <summary>The operation that a task is in, by number; -1 for none.</summary>
    public Func<int, int> OperationOf { get; init; } = _ => -1;

    /// <summary>An execution as a schedule.</summary>
    /// <param name="execution">The execution, which is the present one.</param>
    public Schedule Of(IExecution execution) =>
        new([.. Enumerable.Range(0, execution.Depth).Select(depth => Describe(execution.TaskAt(depth), execution.StepAt(depth)))]) { Points = Points };

    /// <summary>Does the steps of a schedule again.</summary>
    /// <param name="schedule">The schedule.</param>
    /// <param name="atEnd">Called when they are done, with what came of each.</param>
    /// <param name="done">The steps with what came of each.</param>
    /// <returns>Where the tasks do not follow the schedule; null if they did to its end.</returns>
    public string? Replay(Schedule schedule, Action<Schedule> atEnd, out Schedule done) => Replay(schedule, atEnd, out done, out _);

    /// <summary>The same, with the switches.</summary>
    /// <param name="schedule">The schedule.</param>
    /// <param name="atEnd">Called when they are done, with what came of each.</param>
    /// <param name="done">The steps with what came of each.</param>
    /// <param name="switches">Where another task goes on than would by itself.</param>
    /// <returns>Where the tasks do not follow the schedule; null if they did to its end.</returns>
    internal string? Replay(Schedule schedule, Action<Schedule> atEnd, out Schedule done, out IReadOnlyList<ScheduleSwitch> switches)
    {
        List<ScheduleStep> steps = [];
        List<ScheduleSwitch> found = [];
        switches = found;
        Schedule all = schedule;
        string? divergence = null;
        SteppedTask? last = null;
        Turns turns = new();
        program.Restart();
        program.Drive(() =>
        {
            if (last is not null)
                steps[^1] = steps[^1] with { Holds = HeldBy(last) };
            if (steps.Count == schedule.Steps.Count)
            {
                all = new Schedule(steps) { Points = Points, Waits = Waits() };
                atEnd(all);
                return -1;
            }
            ulong enabled = program.Enabled;
            SteppedTask[] able = [.. program.Runtime.Tasks.Where(task => (enabled >> task.Index & 1) != 0)];
            ScheduleStep wanted = schedule.Steps[steps.Count];
            last = Array.Find(able, task => Describe(task.Index, program.Next(task.Index)).IsSameAs(wanted));
            if (last is null)
            {
                divergence = $"step {steps.Count + 1} should be \"{wanted}\"; what can be done is {(able.Length == 0 ? "nothing" : string.Join(", ", able.Select(task => $"\"{Describe(task.Index, program.Next(task.Index))}\"")))}";
                return -1;
            }
            if (last.Index != turns.Default(enabled))
                found.Add(turns.SwitchTo(last.Index));
            turns.Add(last.Index);
            steps.Add(WithPlace(Describe(last.Index, program.Next(last.Index)), last));
            return last.Index;
        });
        done = all;
        return divergence;
    }

    /// <summary>A step in words.</summary>
    /// <param name="task">Who does it.</param>
    /// <param name="step">The step.</param>
    internal ScheduleStep Describe(int task, Step step)
    {
        string name = program.Runtime.TaskOf(task).Task.Name;
        if (step.Kind == StepKind.Local)
        {
            string[] does = program.NameOf(step).Split(' ', 2);
            return new ScheduleStep(name, does[0], does.Length > 1 ? does[1] : "");
        }
        LockClass? target = program.ClassOf(step.Object);
        bool isFile = target?.Kind == LockKind.ActiveReference;
        if (target is null && step.Kind is StepKind.Wait or StepKind.WaitFor)
            return new ScheduleStep(name, "waits for", program.NameOf(step));
        string action = target is null ? "goes on" : step.Kind switch
        {
            StepKind.Ask => "asks for",
            StepKind.LockShared or StepKind.LockRecursive => "acquires shared",
            StepKind.TryShared => isFile ? "enters" : "tries shared",
            StepKind.Try => isFile ? "deletes" : "tries",
            StepKind.Unlock => "releases",
            _ => "acquires",
        };
        return new ScheduleStep(name, action, target?.Name ?? "");
    }

    // A lock that is acquired is held too; one that is tried may not be.
    private ScheduleStep WithPlace(ScheduleStep described, SteppedTask task)
    {
        Step step = program.Next(task.Index);
        ScheduleStep placed = described with { Operation = OperationOf(task.Index), Held = HeldAtBy(task.Task) };
        if (step.Kind is StepKind.Unlock or StepKind.UnlockShared || program.ClassOf(step.Object) is not { } target || At(target.Name, task.Task.AsksAt) is not { } asked)
            return placed;
        HeldAt[] acquired = step.Kind switch
        {
            StepKind.Lock => [asked],
            StepKind.LockShared or StepKind.LockRecursive => [asked with { Lock = asked.Lock + LockMode.Read.Suffix() }],
            _ => [],
        };
        return placed with { Site = asked.Site, Function = asked.Function, Held = [.. placed.Held, .. acquired] };
    }

    private ScheduleStep[] Waits()
    {
        if (program.Enabled != 0)
            return [];
        SteppedTask[] left = [.. program.Runtime.Tasks.Where(task => !task.HasEnded)];
        return [.. left.Select(task => WaitOf(task, left))];
    }

    private ScheduleStep WaitOf(SteppedTask task, SteppedTask[] left)
    {
        ScheduleStep wait = new(task.Task.Name, "waits for", new StuckTask(task.Task, task.Target).WaitsFor)
        {
            Operation = OperationOf(task.Index), Holds = HeldBy(task), Held = HeldAtBy(task.Task),
        };
        if (task.Target is not KernelLock target)
            return wait;
        HeldAt asked = At(target.Class.Name, task.Task.AsksAt);
        return wait with
        {
            Site = asked.Site,
            Function = asked.Function,
            Owners = [.. left.SelectMany(other => HeldAtBy(other.Task).Where((_, i) => ReferenceEquals(other.Task.Held[i].Lock, target)).Select(held => new LockOwner(other.Task.Name, held)))],
        };
    }

    private HeldAt At(string name, LockSite site) => new(name, site.ToString(), source?.FunctionAt(site));

    private HeldAt[] HeldAtBy(KernelTask task) => [.. Enumerable.Range(0, task.Held.Length).Select(i => At(task.Held[i].ToString(), task.TakenAt(i)))];

    private static string[] HeldBy(SteppedTask task) => [.. task.Task.Held.ToArray().Select(held => held.ToString())];
}

using System.Text;
using System.Text.Json;
using Apvirt.Devices.Sysfs;
using Apvirt.Explore.Engine;
using Apvirt.Host.Checks;
using Apvirt.Host.Machines;
using Apvirt.Host.Traces;
using Apvirt.Host.Views;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Explore.Scenarios;

/// <summary>One step of a schedule.</summary>
/// <param name="Task">The caller, or what it started.</param>
/// <param name="Action">What it does: acquires, acquires shared, goes on.</param>
/// <param name="Target">Class of the lock; empty if there is none.</param>
public sealed record ScheduleStep(string Task, string Action, string Target);

/// <summary>Something that went wrong in some execution.</summary>
/// <param name="Rule">The invariant, or V01 for a deadlock and V06 for answers that no order gives.</param>
/// <param name="Summary">What went wrong.</param>
/// <param name="Finding">The finding that predicts it; null if none does.</param>
/// <param name="Schedule">The steps of the execution with the fewest switches that shows it.</param>
/// <param name="Count">In how many executions it was seen.</param>
public sealed record ScenarioViolation(string Rule, string Summary, string? Finding, IReadOnlyList<ScheduleStep> Schedule, long Count);

/// <summary>What exploring a scenario found.</summary>
/// <param name="Result">How far it came.</param>
/// <param name="Outcomes">How many different answers and states there were.</param>
/// <param name="Violations">What went wrong.</param>
public sealed record ScenarioResult(ExploreResult Result, int Outcomes, IReadOnlyList<ScenarioViolation> Violations);

/// <summary>
/// Explores a scenario on the real driver: every order of lock acquisitions, with lock orders, guards, lifetimes and
/// invariants checked in each execution, and the answers held against those of all orders of the operations (V06).
/// </summary>
/// <param name="scenario">The scenario.</param>
public sealed class ScenarioSearch(Scenario scenario)
{
    private const int OrdersMax = 2000;

    private readonly MachineSetup _setup = SetupOf(scenario);
    private readonly KernelChecks _checks = new(LockOrder.Declared);
    private readonly Dictionary<(string Rule, string Summary), ScenarioViolation> _violations = [];
    private readonly HashSet<string> _outcomes = new(StringComparer.Ordinal);
    private HashSet<string>? _explained;
    private VirtualHost _host = null!;
    private KernelTask _boot = null!;
    private string[][] _answers = [];
    private Func<List<ScheduleStep>> _schedule = () => [];

    /// <summary>Explores.</summary>
    /// <param name="options">How far.</param>
    public ScenarioResult Run(ExploreOptions options)
    {
        _explained = Explained();
        KernelExplored program = new(() => new ExplorationRuntime { Checks = _checks }, Begin);
        Explorer explorer = new(program, options);
        explorer.Completed = depth =>
        {
            _schedule = () => Schedule(explorer, program, depth);
            Look(program);
            return true;
        };
        ExploreResult result = explorer.Run();
        if (result.Verdict == Verdict.Exhausted && _violations.Values.Any(v => v.Finding is null))
            result = result with { Verdict = Verdict.Violation };
        return new ScenarioResult(result, _outcomes.Count, [.. _violations.Values]);
    }

    /// <summary>Does the steps of a schedule again.</summary>
    /// <param name="schedule">The schedule, as a violation has it.</param>
    /// <param name="violations">What went wrong in it.</param>
    /// <returns>Where the scenario does not follow the schedule any more; null if it did to its end.</returns>
    public string? Replay(IReadOnlyList<ScheduleStep> schedule, out IReadOnlyList<ScenarioViolation> violations)
    {
        _explained = Explained();
        KernelExplored program = new(() => new ExplorationRuntime { Checks = _checks }, Begin);
        program.Restart();
        violations = [];
        for (int i = 0; i < schedule.Count; i++)
        {
            ulong enabled = program.Enabled;
            SteppedTask? next = program.Runtime.Tasks.FirstOrDefault(task =>
                (enabled >> task.Index & 1) != 0 && DescribeNext(program, task.Index) == schedule[i]);
            if (next is null)
            {
                string possible = string.Join(", ", program.Runtime.Tasks.Where(task => (enabled >> task.Index & 1) != 0).Select(task => DescribeNext(program, task.Index).ToString()));
                return $"step {i + 1} should be {schedule[i]}; what can be done is {(possible.Length == 0 ? "nothing" : possible)}";
            }
            program.Do(next.Index);
        }
        _schedule = () => [.. schedule];
        Look(program);
        violations = [.. _violations.Values];
        return null;
    }

    private void Begin(ExplorationRuntime runtime, IStepListener listener)
    {
        Prepare(runtime);
        foreach (string belief in scenario.Beliefs)
            _host.Checks!.Add(Beliefs.Find(belief)!);
        // What the preparation shows is no matter of interleavings.
        _checks.Violations.Clear();
        runtime.Begin(listener);
        _answers = [.. scenario.Tasks.Select(task => new string[task.Operations.Count])];
        for (int i = 0; i < scenario.Tasks.Count; i++)
        {
            int own = i;
            runtime.Spawn(scenario.Tasks[i].Name, async task =>
            {
                for (int j = 0; j < scenario.Tasks[own].Operations.Count; j++)
                    _answers[own][j] = await RunAsync(task, scenario.Tasks[own].Operations[j]);
            });
        }
    }

    private static MachineSetup SetupOf(Scenario scenario) =>
        new TraceReader("scenario", Encoding.UTF8.GetBytes(scenario.Machine)).ReadHeader(out TraceHeader? header) is { } error
            ? throw new ArgumentException(error.ToString(), nameof(scenario))
            : header!.ToSetup() with { Profile = scenario.Profile };

    private void Prepare(ExplorationRuntime runtime)
    {
        _boot = runtime.CreateTask("boot");
        _host = runtime.Prepare(VirtualHost.BootAsync(_boot, _setup));
        foreach (string operation in scenario.SetUp)
            runtime.Prepare(RunAsync(_boot, operation));
    }

    private async ValueTask<string> RunAsync(KernelTask task, string operation)
    {
        _ = TraceReader.ReadSingle(Encoding.UTF8.GetBytes(operation), out TraceLine? line);
        using (line)
            return TraceWriter.Format(line!, await OperationRunner.RunAsync(_host, task, line!, new SysfsText()));
    }

    private void Look(KernelExplored program)
    {
        ulong unfinished = program.Unfinished;
        if (unfinished != 0)
        {
            Add("V01", "deadlock: " + string.Join("; ", program.Runtime.Tasks.Where(t => (unfinished >> t.Index & 1) != 0).Select(Waiting)), finding: null);
            return;
        }
        _host.Checks!.Ended(_boot, Errno.Ok, writesBefore: null);
        foreach (Violation violation in _checks.Violations.ToArray())
            Add(violation.Rule, violation.Summary, violation.Finding);
        string outcome = Outcome();
        _outcomes.Add(outcome);
        if (_explained is not null && !_explained.Contains(outcome))
            Add("V06", "no order of the operations gives these answers and this state: " + string.Join(" ", _answers.SelectMany(a => a)), finding: null);
    }

    private static string Waiting(SteppedTask task) =>
        $"{task.Task.Name} holds {(task.Task.Held.IsEmpty ? "nothing" : string.Join(", ", task.Task.Held.ToArray()))} and waits for {(task.Target as KernelLock)?.Class.Name ?? "something"}";

    private void Add(string rule, string summary, string? finding)
    {
        (string, string) key = (rule, summary);
        List<ScheduleStep> schedule = _schedule();
        if (!_violations.TryGetValue(key, out ScenarioViolation? known))
            _violations[key] = new ScenarioViolation(rule, summary, finding, schedule, 1);
        else
            _violations[key] = known with { Count = known.Count + 1, Schedule = Switches(schedule) < Switches(known.Schedule) ? schedule : known.Schedule };
    }

    private static int Switches(IReadOnlyList<ScheduleStep> schedule) =>
        Enumerable.Range(1, Math.Max(0, schedule.Count - 1)).Count(i => schedule[i].Task != schedule[i - 1].Task);

    private static List<ScheduleStep> Schedule(Explorer explorer, KernelExplored program, int depth)
    {
        List<ScheduleStep> schedule = [];
        for (int i = 0; i < depth; i++)
            schedule.Add(Describe(program, explorer.TaskAt(i), explorer.StepAt(i)));
        return schedule;
    }

    private static ScheduleStep DescribeNext(KernelExplored program, int task) => Describe(program, task, program.Next(task));

    private static ScheduleStep Describe(KernelExplored program, int task, Step step)
    {
        string target = program.NameOf(step.Object);
        string action = target.Length == 0 ? "goes on" : step.Kind switch
        {
            StepKind.LockShared => "acquires shared",
            StepKind.TryShared => "enters",
            StepKind.Try => "tries or deletes",
            _ => "acquires",
        };
        return new ScheduleStep(program.Runtime.Tasks[task].Task.Name, action, target);
    }

    // A file that goes between its opening and the call answers ENODEV where one that had gone before answers ENOENT (G9).
    private string Outcome() =>
        string.Join('\n', _answers.SelectMany(a => a)).Replace("\"result\":\"ENODEV\"", "\"result\":\"ENOENT\"", StringComparison.Ordinal)
        + JsonSerializer.Serialize(HostView.Of(_host));

    // What all orders of the operations give, one after another; null if there are too many orders.
    private HashSet<string>? Explained()
    {
        int[][] orders = [.. Orders([.. scenario.Tasks.Select(task => task.Operations.Count)], []).Take(OrdersMax + 1)];
        if (orders.Length > OrdersMax)
            return null;
        KernelChecks before = new(LockOrder.Declared);
        HashSet<string> explained = new(StringComparer.Ordinal);
        foreach (int[] order in orders)
        {
            ExplorationRuntime runtime = new() { Checks = before };
            Prepare(runtime);
            _answers = [.. scenario.Tasks.Select(task => new string[task.Operations.Count])];
            int[] at = new int[scenario.Tasks.Count];
            foreach (int task in order)
            {
                _answers[task][at[task]] = runtime.Prepare(RunAsync(runtime.CreateTask(scenario.Tasks[task].Name), scenario.Tasks[task].Operations[at[task]]));
                at[task]++;
            }
            explained.Add(Outcome());
        }
        return explained;
    }

    private static IEnumerable<int[]> Orders(int[] left, int[] done)
    {
        if (left.All(count => count == 0))
            yield return done;
        for (int i = 0; i < left.Length; i++)
        {
            if (left[i] == 0)
                continue;
            int[] less = [.. left];
            less[i]--;
            foreach (int[] order in Orders(less, [.. done, i]))
                yield return order;
        }
    }
}

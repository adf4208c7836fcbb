using System.Collections.Frozen;
using System.Numerics;
using System.Text;
using Apvirt.Ap.Profiles;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Searches;
using Apvirt.Host.Checks;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Host.Traces;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Validation;

namespace Apvirt.Explore.Scenarios;

/// <summary>What one thread needs to run a scenario again and again, and what it has seen.</summary>
internal sealed class ScenarioWorker : IDisposable
{
    private const int StepsMax = 10_000;

    private readonly Scenario _scenario;
    private readonly MachineSetup _setup;
    private readonly StepOrders? _orders;
    private readonly TraceLine[] _setUp;
    private readonly TraceLine[][] _operations;
    private KernelChecks _checks = new(LockOrder.Declared);
    private readonly Dictionary<(string Rule, string Summary, string? Finding), ScenarioViolation> _violations = [];
    private readonly HashSet<string> _outcomes = new(StringComparer.Ordinal);
    private readonly string[][] _answers;
    private readonly int[] _at;
    private readonly IReadOnlyList<string>? _points;
    private readonly TaskThreads? _threads;
    private readonly ScheduleRecorder _recorder;
    private VirtualHost _host = null!;
    private KernelTask _boot = null!;

    /// <summary>Makes a worker.</summary>
    /// <param name="scenario">The scenario.</param>
    /// <param name="orders">What the orders of the operations' steps give; null if that is not looked at.</param>
    /// <param name="points">As <see cref="Schedule.Points"/>.</param>
    /// <param name="numbers">Numbers of what steps are about, for all threads of a search.</param>
    /// <param name="tasks">Numbers of tasks, for all threads of a search.</param>
    /// <param name="onlySteps">Whether callers are interrupted only between the steps that operations declare.</param>
    /// <param name="source">Which function a place in the source belongs to; null if nobody asks.</param>
    internal ScenarioWorker(
        Scenario scenario, StepOrders? orders, IReadOnlyList<string>? points = null, ObjectNumbers? numbers = null, TaskNumbers? tasks = null, bool onlySteps = false, SourceMap? source = null)
    {
        _points = points;
        _threads = points is null ? null : new TaskThreads(KernelExplored.TasksMax);
        FrozenSet<string>? pointsAt = points is null || points.SequenceEqual(Schedule.Everywhere) ? null : points.ToFrozenSet(StringComparer.Ordinal);
        _scenario = scenario;
        _orders = orders;
        _setup = new TraceReader("scenario", Encoding.UTF8.GetBytes(scenario.Machine)).ReadHeader(out TraceHeader? header) is { } error
            ? throw new ArgumentException(error.ToString(), nameof(scenario))
            : header!.ToSetup() with { Profile = scenario.Profile };
        _setUp = [.. scenario.SetUp.Select(OperationRunner.Parse)];
        _operations = [.. scenario.Tasks.Select(task => task.Operations.Select(OperationRunner.Parse).ToArray())];
        _answers = [.. _operations.Select(operations => new string[operations.Length])];
        _at = new int[_operations.Length];
        Program = new KernelExplored(given => new ExplorationRuntime { Checks = _checks, Carrier = _threads, PointsAt = pointsAt, Numbers = given, OnlySteps = onlySteps }, Begin)
        {
            Prepare = runtime =>
            {
                Prepare(runtime);
                return new PreparedState([_host, _boot], [_checks]);
            },
            Carrier = _threads,
            Numbers = numbers ?? new ObjectNumbers(),
            Tasks = tasks ?? new TaskNumbers(KernelExplored.TasksMax),
            Answers = () => string.Join('\n', _answers.SelectMany(answers => answers)),
            HasPictures = _operations.Any(operations => Array.Exists(operations, operation => operation.IsPicture)),
        };
        _recorder = new ScheduleRecorder(Program, source) { Points = points, OperationOf = task => task < _at.Length ? _at[task] : -1 };
    }

    internal KernelExplored Program { get; }

    internal IReadOnlyDictionary<(string Rule, string Summary, string? Finding), ScenarioViolation> Violations => _violations;

    internal IReadOnlySet<string> Outcomes => _outcomes;

    /// <summary>Classes of the locks that tasks were seen to wait for in a circle, in alphabetical order.</summary>
    internal Dictionary<string, string[]> Circles { get; } = new(StringComparer.Ordinal);

    /// <inheritdoc/>
    public void Dispose() => _threads?.Dispose();

    /// <summary>
    /// Finds the turns of callers that do the same: the first step, if they come before all others, whose order among them makes a
    /// difference by itself.
    /// </summary>
    /// <param name="alike">The callers by number, in groups.</param>
    /// <returns>How they are exchanged; null if no order of theirs makes a difference.</returns>
    internal Exchange? FindTurns(IEnumerable<int[]> alike)
    {
        int[] before = new int[_operations.Length];
        int[] turns = new int[_operations.Length];
        Array.Fill(before, -1);
        foreach (int[] group in alike)
        {
            int turn = FindTurn(group[0]);
            if (turn == 0)
                continue;
            foreach (int caller in group)
                turns[caller] = turn;
            for (int i = 1; i < group.Length; i++)
                before[group[i]] = group[i - 1];
        }
        return Array.Exists(before, caller => caller >= 0) ? new Exchange(before, turns) : null;
    }

    // How many steps the caller has done after the first that conflicts with itself; 0 if none does.
    private int FindTurn(int caller)
    {
        int steps = 0;
        int turn = 0;
        Program.Restart();
        Program.Drive(() =>
        {
            if (turn > 0 || (Program.Enabled >> caller & 1) == 0)
                return -1;
            steps++;
            Step step = Program.Next(caller);
            if (KernelExplored.IsShared(step) && step.ConflictsWith(step))
                turn = steps;
            return caller;
        });
        return turn;
    }

    /// <summary>Looks at a complete execution.</summary>
    internal bool Look(IExecution execution)
    {
        Look(() => _recorder.Of(execution));
        return true;
    }

    /// <summary>Does the steps of a schedule again, and looks at what comes of it.</summary>
    /// <param name="schedule">The schedule.</param>
    /// <param name="done">The steps with what came of each.</param>
    /// <param name="switches">Where another task goes on than would by itself.</param>
    /// <returns>Where the scenario does not follow the schedule; null if it did to its end.</returns>
    internal string? Replay(Schedule schedule, out Schedule done, out IReadOnlyList<ScheduleSwitch> switches) =>
        _recorder.Replay(schedule, all => Look(() => all), out done, out switches);

    /// <summary>Lets tasks go on by themselves but for some switches, and looks at what comes of it.</summary>
    /// <param name="switches">The switches; those that cannot be done are left out.</param>
    /// <returns>What is wrong there.</returns>
    internal IReadOnlyDictionary<(string Rule, string Summary, string? Finding), ScenarioViolation> Follow(IReadOnlyList<ScheduleSwitch> switches)
    {
        HashSet<ScheduleSwitch> wanted = [.. switches];
        List<ScheduleStep> steps = [];
        _violations.Clear();
        // What was reported once would not be reported again.
        _checks = new KernelChecks(LockOrder.Declared);
        Program.Forget();
        Program.Restart();
        Turns turns = new();
        Program.Drive(() =>
        {
            if (Program.Enabled is not (not 0 and var enabled) || steps.Count == StepsMax)
            {
                Look(() => new Schedule(steps) { Points = _points });
                return -1;
            }
            int task = turns.Default(enabled);
            for (ulong rest = enabled; rest != 0; rest &= rest - 1)
            {
                int other = BitOperations.TrailingZeroCount(rest);
                if (wanted.Contains(turns.SwitchTo(other)))
                    task = other;
            }
            steps.Add(_recorder.Describe(task, Program.Next(task)));
            turns.Add(task);
            return task;
        });
        return _violations;
    }

    private void Begin(ExplorationRuntime runtime, IStepListener listener)
    {
        foreach (string belief in _scenario.Beliefs)
            _host.Checks!.Add(Beliefs.Find(belief)!);
        // What the preparation shows is no matter of interleavings.
        _checks.Violations.Clear();
        runtime.Begin(listener);
        for (int i = 0; i < _operations.Length; i++)
        {
            int own = i;
            _at[own] = 0;
            Array.Fill(_answers[own], "");
            runtime.Spawn(_scenario.Tasks[own].Name, task => RunAsync(task, own));
        }
    }

    private async ValueTask RunAsync(KernelTask task, int own)
    {
        for (int i = 0; i < _operations[own].Length; i++)
        {
            // Between two calls of a caller others can come in.
            if (i > 0)
                await task.Runtime.PointAsync(task, _operations[own][i].Name, PointKind.Begin);
            _at[own] = i;
            if (_operations[own][i].IsPicture)
                Program.TakesPicture();
            long others = Program.StepsOfOthers(task);
            long? writes = _operations[own][i].ChangesNothingOnError ? _host.Checks!.Writes : null;
            (_answers[own][i], Errno error) = await OperationRunner.RunAsync(_host, task, _operations[own][i]);
            // Alone it can be told who has written what.
            task.Runtime.BeginLooking();
            _host.Checks!.Returned(task, error, others == Program.StepsOfOthers(task) ? writes : null);
            task.Runtime.EndLooking();
        }
    }

    private void Prepare(ExplorationRuntime runtime)
    {
        _boot = runtime.CreateTask("boot");
        _host = runtime.Prepare(VirtualHost.BootAsync(_boot, _setup));
        foreach (TraceLine operation in _setUp)
            runtime.Prepare(OperationRunner.RunAsync(_host, _boot, operation));
    }

    private void Look(Func<Schedule> schedule)
    {
        ulong unfinished = Program.Unfinished;
        if (unfinished != 0)
        {
            StuckTasks stuck = Program.Stuck;
            foreach (string[] circle in stuck.Circles)
                Circles[string.Join(' ', circle)] = circle;
            Report();
            if (Program.Runtime.GaveUpOnTime)
            {
                IEnumerable<string> names = Program.Runtime.Tasks.Where(task => (unfinished >> task.Index & 1) != 0).Select(task => task.Task.Name);
                Add("V04", "never ends: " + string.Join(", ", names), _scenario.Profile.Has(Quirk.EndlessReset) ? Quirk.EndlessReset.Finding() : null, schedule, locks: null);
            }
            else if (stuck.Circles.Count > 0 || !ReportUndelivered(schedule))
            {
                Violation violation = StuckCallers.Judge(stuck, _scenario.Profile);
                Add(violation.Rule, violation.Summary, violation.Finding, schedule, locks: null);
            }
            return;
        }
        _host.Checks!.Ended(_boot, Errno.Ok, writesBefore: null);
        Report();
        string outcome = Outcome();
        _outcomes.Add(outcome);
        // A finding excuses it only if its deviation was taken here and says that it may lead to this (M127).
        if (!(_orders?.Explain(outcome) ?? true))
            Add("V06", "no order of the operations' steps gives these answers and this state: " + string.Join(" ", _answers.SelectMany(a => a)), _checks.FindingOf(_boot, "V06"), schedule, locks: null);

        void Report()
        {
            if (!_checks.Violations.HasAny)
                return;
            foreach (Violation violation in _checks.Violations.ToArray())
                Add(violation.Rule, violation.Summary, violation.Finding, schedule, violation.Locks);
        }
    }

    // V08: an interrupt is pending, a vCPU waits for it, and nobody is left to wake it.
    private bool ReportUndelivered(Func<Schedule> schedule)
    {
        GuestProcess[] guests = [.. _host.Guests.List().Where(guest => guest.Machine.Gisa.Undelivered != 0)];
        foreach (GuestProcess guest in guests)
        {
            Add(
                "V08", $"a vCPU of VM {guest.Name} waits for ever for an interrupt that is pending: IPM {guest.Machine.Gisa.Pending:x2}, IAM {guest.Machine.Gisa.Alerting:x2}",
                _scenario.Profile.Has(Quirk.SubclassesForgotten) ? Quirk.SubclassesForgotten.Finding() : null, schedule, locks: null);
        }
        return guests.Length > 0;
    }

    private void Add(string rule, string summary, string? finding, Func<Schedule> makeSchedule, LockReport? locks)
    {
        (string, string, string?) key = (rule, summary, finding);
        Schedule schedule = makeSchedule();
        if (!_violations.TryGetValue(key, out ScenarioViolation? known))
            _violations[key] = new ScenarioViolation(rule, summary, finding, schedule, 1) { Locks = locks };
        else
            _violations[key] = known with { Count = known.Count + 1, Schedule = schedule.IsSimplerThan(known.Schedule) ? schedule : known.Schedule };
    }

    internal string Outcome() => OutcomeText.Of(_host, _answers.SelectMany(answers => answers));
}

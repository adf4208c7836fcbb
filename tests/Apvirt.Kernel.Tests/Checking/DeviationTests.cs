using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Tests.Checking;

/// <summary>What a deviation excuses: the rules that it is known to break, after it was taken, and of some only for who took it.</summary>
public sealed class DeviationTests
{
    private const string Finding = "F99";
    private const string None = "none";

    private static readonly LockClass First = new("first", LockKind.Mutex);
    private static readonly LockClass Second = new("second", LockKind.Mutex);
    private static readonly LockClass Third = new("third", LockKind.Mutex);
    private static readonly Deviation Known = new(Finding, Lasting: ["I21"], AtOnce: ["I26", "I27"]);

    private readonly KernelChecks _checks = new();
    private readonly SimulationRuntime _runtime;
    private readonly KernelTask _task;
    private readonly Owner _owner = new();

    public DeviationTests()
    {
        _runtime = new SimulationRuntime(seed: 1) { Checks = _checks };
        _task = _runtime.CreateTask("who deviates");
    }

    private sealed class Owner
    {
        private static readonly GuardRule<Owner> Rule = new("field", [new(DeviationTests.First, owner => owner.First)]);

        private Guarded<int> _field = new(0);

        internal KernelMutex First { get; } = new(DeviationTests.First);

        internal KernelMutex Second { get; } = new(DeviationTests.Second);

        internal KernelMutex Third { get; } = new(DeviationTests.Third);

        internal int Read(KernelTask task) => _field.Read(task, this, Rule);
    }

    private string[] Findings() => [.. _checks.Violations.ToArray().Select(violation => violation.Finding ?? None)];

    private bool Report(KernelTask task, string rule) => _checks.Report(task, ViolationKind.Invariant, rule, "it is broken");

    private static async ValueTask TakeAsync(KernelTask task, KernelMutex outer, KernelMutex inner)
    {
        await outer.LockAsync(task);
        await inner.LockAsync(task);
        inner.Unlock(task);
        outer.Unlock(task);
    }

    [Fact]
    public void Without_a_deviation_nothing_is_predicted()
    {
        _owner.Read(_task);
        Report(_task, "I21");
        Assert.Equal([None, None], Findings());
    }

    [Fact]
    public void What_was_broken_before_is_not_predicted()
    {
        Report(_task, "I21");
        _checks.Deviated(_task, Known);
        Assert.Equal([None], Findings());
    }

    [Fact]
    public void A_rule_that_the_deviation_does_not_break_is_not_predicted()
    {
        _checks.Deviated(_task, Known);
        Report(_task, "I22");
        Report(_task, "I2");
        Assert.Equal([None, None], Findings());
    }

    [Fact]
    public void What_it_leaves_behind_is_predicted_for_everybody_on_the_machine()
    {
        _checks.Deviated(_task, Known);
        _task.ReturnToUser();
        Report(_runtime.CreateTask("another"), "I21");
        Report(new SimulationRuntime(seed: 1) { Checks = _checks }.CreateTask("on another machine"), "I21");
        Assert.Equal([Finding, None], Findings());
    }

    [Fact]
    public void What_it_breaks_at_once_is_predicted_for_who_takes_it()
    {
        _checks.Deviated(_task, Known);
        _owner.Read(_task);
        Assert.Equal([Finding], Findings());
    }

    [Fact]
    public void What_it_breaks_at_once_is_not_predicted_for_another()
    {
        _checks.Deviated(_task, Known);
        _owner.Read(_runtime.CreateTask("another"));
        Assert.Equal([None], Findings());
    }

    [Fact]
    public void What_it_breaks_at_once_is_not_predicted_in_the_next_operation()
    {
        _checks.Deviated(_task, Known);
        _task.ReturnToUser();
        _owner.Read(_task);
        Assert.Equal([None], Findings());
    }

    [Fact]
    public void Who_looks_at_what_an_operation_has_left_sees_that_operation()
    {
        _checks.Deviated(_task, Known);
        _task.ReturnToUser();
        Report(_task, "I26");
        Assert.Equal([Finding], Findings());
    }

    [Fact]
    public void Both_are_kept_when_the_same_is_broken_with_and_without_it()
    {
        _checks.Deviated(_task, Known);
        Report(_task, "I26");
        Report(_runtime.CreateTask("another"), "I26");
        Assert.Equal([Finding, None], Findings());
    }

    [Fact]
    public void Of_two_the_one_taken_last_counts()
    {
        Deviation other = Known with { Finding = "F98" };
        _checks.Deviated(_task, Known);
        _checks.Deviated(_task, other);
        Report(_task, "I21");
        _checks.Deviated(_task, Known);
        Report(_task, "I21");
        Assert.Equal(["F98", Finding], Findings());
    }

    [Fact]
    public async Task An_order_that_is_taken_with_the_deviation_is_predicted()
    {
        await TakeAsync(_task, _owner.First, _owner.Second);
        KernelTask other = _runtime.CreateTask("another");
        _checks.Deviated(other, Known);
        await TakeAsync(other, _owner.Second, _owner.First);
        Assert.Equal([Finding], Findings());
    }

    [Fact]
    public async Task A_circle_is_predicted_wherever_it_is_closed_if_one_of_its_orders_is()
    {
        _checks.Deviated(_task, Known);
        await TakeAsync(_task, _owner.First, _owner.Second);
        await TakeAsync(_runtime.CreateTask("another"), _owner.Second, _owner.First);
        Assert.Equal([Finding], Findings());
    }

    [Fact]
    public async Task A_circle_of_another_operation_of_the_same_task_is_not_predicted()
    {
        _checks.Deviated(_task, Known);
        await TakeAsync(_task, _owner.First, _owner.Third);
        _task.ReturnToUser();
        await TakeAsync(_task, _owner.First, _owner.Second);
        await TakeAsync(_task, _owner.Second, _owner.First);
        Assert.Equal([None], Findings());
    }

    [Fact]
    public async Task An_order_that_is_also_taken_without_the_deviation_predicts_no_circle()
    {
        _checks.Deviated(_task, Known);
        await TakeAsync(_task, _owner.First, _owner.Second);
        // Below another lock, so that it is a chain that was not seen yet.
        KernelTask other = _runtime.CreateTask("another");
        await _owner.Third.LockAsync(other);
        await TakeAsync(other, _owner.First, _owner.Second);
        _owner.Third.Unlock(other);
        await TakeAsync(other, _owner.Second, _owner.First);
        Assert.Equal([None], Findings());
    }
}

using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Validation;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Tests.Validation;

/// <summary>The cases of reference/lockdep.md without interrupts: each is reported, and each correct twin is silent.</summary>
public sealed class SelfTests
{
    [Theory]
    [InlineData("A B -B -A ; B A -A -B", "A B")]
    [InlineData("A B -B -A ; B C -C -B ; C A -A -C", "A B C")]
    [InlineData("A B -B -A ; C A -A -C ; B C -C -B", "A B C")]
    [InlineData("A B -B -A ; B C -C -B ; C D -D -C ; D A -A -D", "A B C D")]
    [InlineData("A B -B -A ; C D -D -C ; B D -D -B ; D A -A -D", "A B D")]
    [InlineData("A B -B -A ; C D -D -C ; B C -C -B ; D A -A -D", "A B C D")]
    [InlineData("A B -B -A ; B C -C -B ; C D -D -C ; D E -E -D ; E F -F -E ; F A -A -F", "A B C D E F")]
    [InlineData("A B C -C -B -A ; C A -A -C", "A C")]
    public void A_circle_of_mutexes_is_reported_once_with_all_its_locks(string program, string cycle)
    {
        Violation violation = Assert.Single(SelfTest.Run(program));
        Assert.Equal((ViolationKind.CircularLocking, "I27"), (violation.Kind, violation.Rule));
        Assert.Equal(cycle.Split(' '), violation.Locks!.Cycle);
        Assert.Equal(cycle.Split(' ').Length, violation.Locks.Lanes.Count);
    }

    [Theory]
    [InlineData("A B -B -A ; A B -B -A")]
    [InlineData("A B -B -A ; B C -C -B ; A C -C -A")]
    [InlineData("A B -B -A ; B C -C -B ; C D -D -C ; A D -D -A")]
    [InlineData("A B C -C -B -A ; A C -C -A")]
    [InlineData("A -A ; A -A A -A")]
    public void The_correct_twin_is_silent(string program) => Assert.Empty(SelfTest.Run(program));

    // w exclusive, r shared, R recursive reader. What two readers do to each other depends on who may wait behind a writer.
    [Theory]
    [InlineData("wX wY -wY -wX ; wY wX -wX -wY", true)]
    [InlineData("wX rY -rY -wX ; wY rX -rX -wY", true)]
    [InlineData("rX rY -rY -rX ; rY rX -rX -rY", true)]
    [InlineData("rX wY -wY -rX ; wY rX -rX -wY", true)]
    [InlineData("rX wY -wY -rX ; rY wX -wX -rY", true)]
    [InlineData("wX RY -RY -wX ; wY RX -RX -wY", true)]
    [InlineData("RX wY -wY -RX ; RY wX -wX -RY", true)]
    [InlineData("RX RY -RY -RX ; RY RX -RX -RY", false)]
    [InlineData("RX wY -wY -RX ; wY RX -RX -wY", false)]
    [InlineData("RX rY -rY -RX ; RY wX -wX -RY", true)]
    [InlineData("RX RY -RY -RX ; rY rX -rX -rY", false)]
    [InlineData("wX RY -RY -wX ; RY wX -wX -RY", false)]
    [InlineData("rX RY -RY -rX ; RY wX -wX -RY", false)]
    [InlineData("A RX -RX -A ; wX A -A -wX", true)]
    [InlineData("A RX -RX -A ; RX A -A -RX", false)]
    [InlineData("A rX -rX -A ; RX A -A -RX", true)]
    public void Readers_and_writers_deadlock_only_along_a_strong_circle(string program, bool isReported) =>
        Assert.Equal(isReported, SelfTest.Run(program).Any(v => v.Kind == ViolationKind.CircularLocking));

    [Theory]
    [InlineData("rX rX", true)]
    [InlineData("rX wX", true)]
    [InlineData("wX rX", true)]
    [InlineData("wX RX", true)]
    [InlineData("rX RX -RX -rX", false)]
    [InlineData("RX RX -RX -RX", false)]
    [InlineData("RX rX", true)]
    [InlineData("A A", true)]
    public void Taking_a_lock_again_is_reported_unless_both_read_and_the_second_recursively(string program, bool isReported) =>
        Assert.Equal(isReported, SelfTest.Run(program).Any(v => v.Kind == ViolationKind.RecursiveLocking));

    [Theory]
    [InlineData("A ?B -B -A ; B A -A -B", false)]
    [InlineData("A ?B -B -A ; B ?A -A -B", false)]
    [InlineData("A ?B C -C -B -A ; C B -B -C", true)]
    [InlineData("A ?A -A", false)]
    public void A_try_is_only_the_begin_of_an_order(string program, bool isReported) =>
        Assert.Equal(isReported, SelfTest.Run(program).Length > 0);

    // A chain that is in the cache must not hide what a later one means.
    [Theory]
    [InlineData("A B -B -A ; A B -B -A ; B A -A -B")]
    [InlineData("A B C -C -B -A ; A B C -C -B -A ; C B -B -C")]
    [InlineData("RX A -A -RX ; RX A -A -RX ; wX A -A -wX ; A wX -wX -A")]
    [InlineData("RX RY -RY -RX ; RY RX -RX -RY ; wX wY -wY -wX ; wY wX -wX -wY")]
    public void A_cached_chain_does_not_hide_a_later_circle(string program) =>
        Assert.Contains(SelfTest.Run(program), v => v.Kind == ViolationKind.CircularLocking);

    [Fact]
    public void All_distinct_circles_are_reported_and_none_that_contains_another()
    {
        Violation[] violations = SelfTest.Run("A B -B -A ; B A -A -B ; C D -D -C ; D E -E -D ; E C -C -E ; A C -C -A ; C A -A -C");
        Assert.Equal(["A B", "C D E", "A C"], violations.Select(v => string.Join(' ', v.Locks!.Cycle)));
    }

    [Theory]
    [InlineData("A -A -A")]
    [InlineData("-A")]
    [InlineData("-wX")]
    [InlineData("rX -wX -rX")]
    public void An_unlock_without_a_lock_is_reported(string program) =>
        Assert.Contains(SelfTest.Run(program), v => v.Kind == ViolationKind.UnlockBalance);

    [Fact]
    public void M041_releasing_the_outer_lock_first_is_reported_where_that_is_asked()
    {
        SelfTest strict = new(options: new LockValidatorOptions());
        strict.RunAll("A B -A -B");
        Assert.Equal(ViolationKind.ReleaseOrder, Assert.Single(strict.Checks.Violations.ToArray()).Kind);
        Assert.Empty(SelfTest.Run("A B -A -B"));
        strict = new(options: new LockValidatorOptions());
        strict.RunAll("A B -B -A");
        Assert.True(strict.Checks.Violations.IsEmpty);
    }

    [Fact]
    public void Locks_above_an_early_release_keep_their_orders()
    {
        Violation violation = Assert.Single(SelfTest.Run("A B -A C -C -B ; C B -B -C"));
        Assert.Equal(["B", "C"], violation.Locks!.Cycle);
        Assert.Empty(SelfTest.Run("A B -A C -C -B ; A C -C -A"));
    }

    [Fact]
    public void The_declared_order_is_checked_on_one_task_alone()
    {
        DeclaredOrder order = new([new("A", "B", "here"), new("B", "C", "there")], [new("D", "A", "because")]);
        Assert.Empty(SelfTest.Run("A B C -C -B -A ; A C -C -A", order));
        Violation violation = Assert.Single(SelfTest.Run("C A -A -C", order));
        Assert.Contains("declared", violation.Summary, StringComparison.Ordinal);
        Assert.Equal(ViolationKind.ForbiddenOrder, Assert.Single(SelfTest.Run("D A -A -D", order)).Kind);
    }

    [Fact]
    public void Declared_orders_that_never_occurred_are_told()
    {
        SelfTest test = new(new DeclaredOrder([new("A", "B", "here"), new("B", "C", "there")], []));
        test.RunAll("A B -B -A");
        LockOrderStatistics missing = Assert.Single(test.Checks.Locks.Statistics().NeverExercised);
        Assert.Equal(("B", "C", "there"), (missing.Outer, missing.Inner, missing.Declared));
    }

    [Fact]
    public void Two_locks_of_a_class_are_taken_in_ascending_order()
    {
        KernelChecks checks = new();
        KernelTask task = new SimulationRuntime { Checks = checks }.CreateTask("t");
        LockClass ordered = new("vcpu->mutex", LockKind.Mutex, LockNesting.Ascending);
        KernelMutex[] mutexes = [new(ordered, 0), new(ordered, 1)];
        Assert.True(mutexes[0].TryLock(task));
        mutexes[0].Unlock(task);
        Take(task, mutexes[0], mutexes[1]);
        Assert.True(checks.Violations.IsEmpty);
        // The chain of classes is the same; only the instances differ.
        Take(task, mutexes[1], mutexes[0]);
        Assert.Equal(ViolationKind.NestingOrder, Assert.Single(checks.Violations.ToArray()).Kind);
    }

    [Fact]
    public void A_lock_destroyed_or_initialised_while_held_and_one_used_afterwards_are_reported()
    {
        KernelChecks checks = new();
        KernelTask task = new SimulationRuntime { Checks = checks }.CreateTask("t");
        KernelMutex mutex = new(new LockClass("A", LockKind.Mutex));
        Take(task, mutex);
        mutex.Retire(task);
        mutex.Renew(task);
        Assert.True(checks.Violations.IsEmpty);
        _ = mutex.LockAsync(task);
        mutex.Renew(task);
        mutex.Retire(task);
        mutex.Unlock(task);
        Take(task, mutex);
        Assert.Equal(
            [ViolationKind.HeldLockInitialised, ViolationKind.HeldLockFreed, ViolationKind.RetiredLock],
            checks.Violations.ToArray().Select(v => v.Kind));
    }

    [Fact]
    public void M038_a_task_that_ends_with_a_lock_is_reported()
    {
        KernelChecks checks = new();
        SimulationRuntime runtime = new() { Checks = checks };
        KernelMutex mutex = new(new LockClass("guests_lock", LockKind.Mutex));
        runtime.Spawn("set_kvm", async task => await mutex.LockAsync(task));
        runtime.Advance(TimeSpan.Zero);
        Violation violation = Assert.Single(checks.Violations.ToArray());
        Assert.Equal((ViolationKind.HeldAtReturn, "I28"), (violation.Kind, violation.Rule));
        Assert.Contains("guests_lock", violation.Summary, StringComparison.Ordinal);
    }

    [Fact]
    public void A_sleeping_lock_inside_a_spin_lock_is_reported()
    {
        KernelChecks checks = new();
        KernelTask task = new SimulationRuntime { Checks = checks }.CreateTask("t");
        KernelSpinLock spin = new(new LockClass("spin", LockKind.Spin));
        KernelSpinLock inner = new(new LockClass("inner", LockKind.Spin));
        KernelMutex mutex = new(new LockClass("mutex", LockKind.Mutex));
        using (spin.Lock(task))
        {
            using (inner.Lock(task))
                Assert.True(checks.Violations.IsEmpty);
            Take(task, mutex);
        }
        Assert.Equal(ViolationKind.WaitContext, Assert.Single(checks.Violations.ToArray()).Kind);
    }

    [Fact]
    public void Waiting_for_what_needs_a_held_lock_is_reported()
    {
        KernelChecks checks = new();
        SimulationRuntime runtime = new() { Checks = checks };
        KernelMutex mutex = new(new LockClass("device_lock", LockKind.Mutex));
        Completion closed = new(runtime, "device", new Duty(new LockClass("last close", LockKind.Wait)));
        KernelTask closer = runtime.CreateTask("close");
        closed.Duty!.Begin(closer);
        Take(closer, mutex);
        closed.CompleteAll();
        closed.Duty.End(closer);
        KernelTask remover = runtime.CreateTask("remove");
        Assert.True(closed.WaitAsync(remover).IsCompleted);
        Assert.True(checks.Violations.IsEmpty);
        Assert.True(mutex.TryLock(remover));
        _ = closed.WaitAsync(remover);
        mutex.Unlock(remover);
        Assert.Equal(["device_lock", "last close"], Assert.Single(checks.Violations.ToArray()).Locks!.Cycle);
    }

    [Fact]
    public void A_release_of_a_pinned_lock_and_wrong_assertions_are_reported()
    {
        KernelChecks checks = new();
        KernelTask task = new SimulationRuntime { Checks = checks }.CreateTask("t");
        KernelMutex mutex = new(new LockClass("A", LockKind.Mutex));
        _ = mutex.LockAsync(task);
        task.AssertHeld(mutex);
        task.Pin(mutex);
        task.Unpin(mutex);
        Assert.True(checks.Violations.IsEmpty);
        task.AssertNotHeld(mutex);
        task.Pin(mutex);
        mutex.Unlock(task);
        task.AssertHeld(mutex);
        Assert.Equal(
            [ViolationKind.Assertion, ViolationKind.PinnedLock, ViolationKind.Assertion], checks.Violations.ToArray().Select(v => v.Kind));
    }

    private static void Take(KernelTask task, params KernelMutex[] mutexes)
    {
        foreach (KernelMutex mutex in mutexes)
            _ = mutex.LockAsync(task);
        foreach (KernelMutex mutex in mutexes.Reverse())
            mutex.Unlock(task);
    }
}

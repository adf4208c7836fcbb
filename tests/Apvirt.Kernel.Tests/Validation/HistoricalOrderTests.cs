using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Validation;

namespace Apvirt.Kernel.Tests.Validation;

/// <summary>The lock sequences of the historical designs as bare acquisitions, each task alone (locking.md §5).</summary>
public sealed class HistoricalOrderTests
{
    [Fact]
    public void M022_one_run_of_each_operation_shows_the_deadlock_of_the_masks()
    {
        Violation violation = Assert.Single(Run(
            ("write apmask", ["ap_perms_mutex", "matrix_dev->lock"]),
            ("write assign_adapter", ["matrix_dev->lock", "ap_perms_mutex"])));
        Assert.Equal(["ap_perms_mutex", "matrix_dev->lock"], violation.Locks!.Cycle);
        Assert.Equal(["write apmask/1", "write assign_adapter/2"], violation.Locks.Lanes.Select(l => l.Task).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void M023_a_try_takes_the_deadlock_away() =>
        Assert.Empty(Run(("write apmask", ["ap_perms_mutex", "?matrix_dev->lock"]), ("write assign_adapter", ["?matrix_dev->lock", "ap_perms_mutex"])));

    [Fact]
    public void M034_three_operations_that_never_met_show_the_circle_with_all_participants_and_sites()
    {
        Violation violation = Assert.Single(Run(
            ("T1 PQAP(AQIC)", ["vcpu->mutex", "matrix_dev->lock"]),
            ("T2 secure execution", ["kvm->lock", "vcpu->mutex"]),
            ("T3 unbind", ["matrix_dev->lock", "kvm->lock"])));
        LockReport report = violation.Locks!;
        Assert.Equal(["kvm->lock", "vcpu->mutex", "matrix_dev->lock"], report.Cycle);
        Assert.Equal(["T1 PQAP(AQIC)/1", "T2 secure execution/2", "T3 unbind/3"], report.Lanes.Select(l => l.Task).Order(StringComparer.Ordinal));
        Assert.All(report.Lanes, lane =>
        {
            Assert.StartsWith("HistoricalOrderTests.cs:", lane.Holds.Site.ToString(), StringComparison.Ordinal);
            Assert.StartsWith("HistoricalOrderTests.cs:", lane.Wants.Site.ToString(), StringComparison.Ordinal);
        });
    }

    [Fact]
    public void M035_a_report_is_chronological_within_a_task_and_has_the_ten_parts()
    {
        string text = Assert.Single(Run(
            ("T1 PQAP(AQIC)", ["vcpu->mutex", "matrix_dev->lock"]),
            ("T2 secure execution", ["kvm->lock", "vcpu->mutex"]),
            ("T3 unbind", ["matrix_dev->lock", "kvm->lock"]))).Details;
        string[] parts =
        [
            "WARNING: possible circular locking dependency detected",
            "T3 unbind/3 is trying to acquire lock:",
            "but task is already holding lock:",
            "which lock already depends on the new lock.",
            "the existing dependency chain (in reverse order) is:",
            "-> #2 (matrix_dev->lock){W}:",
            "     by T1 PQAP(AQIC)/1:",
            "     vcpu->mutex at ",
            "     matrix_dev->lock at ",
            "-> #0 (kvm->lock){W}:",
            "other info that might help us debug this:",
            "Chain exists of:\n  matrix_dev->lock --> kvm->lock --> vcpu->mutex --> matrix_dev->lock",
            "Possible unsafe locking scenario (3 tasks, one lane each):",
            " *** DEADLOCK ***",
            "1 lock held by T3 unbind/3",
            " #0: (matrix_dev->lock){W}",
            "stack backtrace",
        ];
        int at = 0;
        foreach (string part in parts)
        {
            int found = text.IndexOf(part, at, StringComparison.Ordinal);
            Assert.True(found >= at, $"\"{part}\" is missing, or not in its place, in\n{text}");
            at = found;
        }
    }

    [Fact]
    public void M031_M050_the_final_order_is_silent() =>
        Assert.Empty(Run(
            ("probe", ["guests_lock", "kvm->lock", "mdevs_lock"]),
            ("assign", ["ap_perms_mutex", "guests_lock", "kvm->lock", "mdevs_lock"]),
            ("open", ["guests_lock", "kvm->lock", "pqap_hook_rwsem", "mdevs_lock"]),
            ("AQIC", ["vcpu->mutex", "pqap_hook_rwsem", "mdevs_lock"]),
            ("secure execution", ["kvm->lock", "vcpu->mutex"])));

    [Fact]
    public void M054_guests_lock_in_PQAP_would_close_the_circle_again()
    {
        Violation violation = Assert.Single(Run(
            ("probe", ["guests_lock", "kvm->lock", "mdevs_lock"]),
            ("secure execution", ["kvm->lock", "vcpu->mutex"]),
            ("AQIC", ["vcpu->mutex", "guests_lock", "mdevs_lock"])));
        Assert.Equal(["guests_lock", "kvm->lock", "vcpu->mutex"], violation.Locks!.Cycle);
    }

    [Fact]
    public void M032_taking_kvm_lock_inside_the_matrix_lock_is_an_inversion() =>
        Assert.Single(Run(("set_kvm", ["kvm->lock", "matrix_dev->lock"]), ("probe", ["matrix_dev->lock", "kvm->lock"])));

    private static Violation[] Run(params (string Task, string[] Locks)[] operations)
    {
        KernelChecks checks = new();
        SimulationRuntime runtime = new() { Checks = checks };
        Dictionary<string, KernelMutex> mutexes = new(StringComparer.Ordinal);
        foreach ((string name, string[] locks) in operations)
        {
            KernelTask task = runtime.CreateTask(name);
            Stack<KernelMutex> held = [];
            foreach (string step in locks)
            {
                string lockName = step.TrimStart('?');
                if (!mutexes.TryGetValue(lockName, out KernelMutex? mutex))
                    mutexes.Add(lockName, mutex = new KernelMutex(new LockClass(lockName, LockKind.Mutex)));
                if (step.StartsWith('?'))
                    Assert.True(mutex.TryLock(task));
                else
                    _ = mutex.LockAsync(task);
                held.Push(mutex);
            }
            while (held.TryPop(out KernelMutex? mutex))
                mutex.Unlock(task);
        }
        return checks.Violations.ToArray();
    }
}

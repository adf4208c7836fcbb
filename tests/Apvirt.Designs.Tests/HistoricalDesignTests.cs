using Apvirt.Explore.Engine;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using static Apvirt.Designs.Tests.DesignRuns;

namespace Apvirt.Designs.Tests;

/// <summary>Each historical design shows its defect, and the final one is exhausted without it (M027).</summary>
public sealed class HistoricalDesignTests
{
    [Fact]
    public void M022_A_mask_store_and_assignment_deadlock()
    {
        DesignResult result = Exhaust(() => new OneLockAndMasks());
        AssertHas(result, DesignSearch.Deadlock);
        // The validator says so from whatever execution comes first.
        Assert.Contains(result.Reports, v => v.Locks?.Cycle.Order(StringComparer.Ordinal).SequenceEqual(["ap_perms_mutex", "matrix_dev->lock"]) == true);
    }

    [Fact]
    public void M033_M034_A_interception_secure_execution_and_unbind_deadlock()
    {
        DesignResult result = Exhaust(() => new OneLockAndGuest());
        Assert.Equal((7, 1), (result.Result.Executions, result.Defects[DesignSearch.Deadlock]));
        Assert.Contains(result.Reports, v => v.Locks?.Cycle.Order(StringComparer.Ordinal).SequenceEqual(["kvm->lock", "matrix_dev->lock", "vcpu->mutex"]) == true);
    }

    [Fact]
    public void M058_D_the_sandwich_has_no_deadlock_in_any_order()
    {
        DesignResult result = Exhaust(() => new Sandwich());
        Assert.Equal(6, result.Result.Executions);
        Assert.Empty(result.Defects);
        Assert.Empty(result.Reports);
    }

    [Fact]
    public void M054_an_interception_that_takes_guests_lock_deadlocks_again()
    {
        DesignResult result = Exhaust(() => new Sandwich(interceptionTakesGuests: true));
        AssertHas(result, DesignSearch.Deadlock);
        Assert.Contains(result.Reports, v => v.Locks?.Cycle.Order(StringComparer.Ordinal).SequenceEqual(["guests_lock", "kvm->lock", "vcpu->mutex"]) == true);
    }

    [Fact]
    public void M024_B1_a_queue_is_stolen() => AssertHas(Exhaust(() => new StolenQueue(OwnershipTest.Unlocked)), "I13");

    [Fact]
    public void M023_M026_B2_nothing_is_stolen_and_nothing_deadlocks()
    {
        DesignResult result = Exhaust(() => new StolenQueue(OwnershipTest.Inside));
        Assert.DoesNotContain(result.Defects.Keys, defect => defect.StartsWith("I13", StringComparison.Ordinal) || defect == DesignSearch.Deadlock);
    }

    [Fact]
    public void M026_D_nothing_is_stolen_and_nobody_is_refused_without_need()
    {
        DesignResult result = Exhaust(() => new StolenQueue(OwnershipTest.Outside));
        Assert.Empty(result.Defects);
        Assert.Empty(result.Reports);
    }

    [Fact]
    public void M036_M037_M107_C_a_node_knows_its_guest_only_when_repaired()
    {
        ModelVm g = new("g");
        GuestList repaired = new(asPosted: false);
        Sequentially(async task => Assert.Equal(Errno.Ok, await repaired.SetKvmAsync(task, "m", g)));
        Assert.Same(g, Assert.Single(repaired.Nodes).Kvm);
        Assert.Equal("m", repaired.Nodes[0].Mdev);
        Sequentially(task => repaired.UnsetKvmAsync(task, "m"));
        Assert.Empty(repaired.Nodes);
        GuestList posted = new(asPosted: true);
        Sequentially(async task => Assert.Equal(Errno.Ok, await posted.SetKvmAsync(task, "m", g)));
        Assert.Null(Assert.Single(posted.Nodes).Kvm);
    }

    [Fact]
    public void M038_C_as_posted_returns_with_the_lock_held()
    {
        foreach (bool asPosted in (bool[])[true, false])
        {
            KernelChecks checks = new();
            GuestList list = new(asPosted);
            Sequentially(async task => Assert.Equal(Errno.ENOMEM, await list.SetKvmAsync(task, "m", new ModelVm("g"), allocationFails: true)), checks);
            Assert.Equal(asPosted, checks.Violations.ToArray().Any(v => v.Summary.Contains("guests_lock", StringComparison.Ordinal)));
            // The next caller waits for ever.
            SimulationRuntime runtime = new();
            SpawnedTask next = runtime.Spawn("next", async task => await list.SetKvmAsync(task, "m", new ModelVm("g")));
            runtime.Advance(TimeSpan.FromHours(1));
            Assert.Equal(!asPosted, next.IsCompleted);
        }
    }

    [Fact]
    public void M039_C_as_posted_keeps_the_node_of_a_refused_guest()
    {
        foreach (bool asPosted in (bool[])[true, false])
        {
            ModelVm g = new("g");
            GuestList list = new(asPosted);
            Sequentially(async task =>
            {
                Assert.Equal(Errno.Ok, await list.SetKvmAsync(task, "m1", g));
                Assert.Equal(Errno.EPERM, await list.SetKvmAsync(task, "m2", g));
            });
            Assert.Equal(asPosted ? 2 : 1, list.Nodes.Count);
        }
    }

    [Fact]
    public void M040_C_as_posted_leaks_a_node_each_time()
    {
        foreach (bool asPosted in (bool[])[true, false])
        {
            ModelVm g = new("g");
            GuestList list = new(asPosted);
            Sequentially(async task =>
            {
                for (int i = 0; i < 100; i++)
                {
                    await list.SetKvmAsync(task, "m", g);
                    await list.UnsetKvmAsync(task, "m");
                }
            });
            Assert.Equal(asPosted ? 100 : 0, list.Nodes.Count);
        }
    }

    [Fact]
    public void M047_with_a_lock_for_the_list_only_a_destroyed_vm_is_locked()
    {
        AssertHas(Exhaust(() => new ListOnly(holdsThroughout: false)), "lifetime");
        Assert.Empty(Exhaust(() => new ListOnly(holdsThroughout: true)).Defects);
    }

    [Fact]
    public void M048_dropping_the_lock_early_loses_what_was_plugged()
    {
        AssertHas(Exhaust(() => new EarlyDrop(dropsEarly: true)), "V02");
        Assert.Empty(Exhaust(() => new EarlyDrop(dropsEarly: false)).Defects);
    }

    [Fact]
    public void M049_M052_a_node_that_a_hook_reaches_by_another_way_is_read_after_it_was_freed()
    {
        AssertHas(Exhaust(() => new NodeReachedByHook(freesUnderBoth: false)), "lifetime");
        Assert.Empty(Exhaust(() => new NodeReachedByHook(freesUnderBoth: true)).Defects);
    }
}

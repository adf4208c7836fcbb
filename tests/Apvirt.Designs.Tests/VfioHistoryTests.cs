using Apvirt.Explore.Engine;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using static Apvirt.Designs.Tests.DesignRuns;

namespace Apvirt.Designs.Tests;

/// <summary>How a VFIO device learnt its VM through the years (locking.md §5): each way shows its defect, the final one has none.</summary>
public sealed class VfioHistoryTests
{
    private readonly ModelVm _g = new("g");

    [Fact]
    public void M059_taking_the_groups_vm_away_detaches_the_mdev_and_unmapping_disarms() => Sequentially(async task =>
    {
        NotifierGroup group = new();
        GuestList guests = new(asPosted: false);
        Dictionary<ulong, bool> armed = new() { [0x2008] = true, [0x9008] = true };
        await group.RegisterAsync(task, NotifierKind.Group, NotifierEvents.First, async (caller, vm) =>
        {
            if (vm is not null)
                return await guests.SetKvmAsync(caller, "m", vm);
            await guests.UnsetKvmAsync(caller, "m");
            return Errno.Ok;
        });
        Assert.Equal(Errno.Ok, group.RegisterUnmap(NotifierKind.Iommu, NotifierEvents.First, (iova, length) =>
        {
            foreach (ulong nib in armed.Keys.Where(nib => nib >= iova && nib - iova < length).ToArray())
                armed[nib] = false;
            return Errno.Ok;
        }));
        await group.SetKvmAsync(task, _g);
        Assert.Same(_g, Assert.Single(guests.Nodes).Kvm);
        group.Unmap(0x2000, 0x1000);
        Assert.Equal((false, true), (armed[0x2008], armed[0x9008]));
        await group.SetKvmAsync(task, null);
        Assert.Empty(guests.Nodes);
    });

    [Fact]
    public void M071_N_a_vm_that_is_set_after_the_open_is_delivered() => Sequentially(async task =>
    {
        NotifierGroup group = new();
        NotifiedFunction function = new(group);
        await function.OpenAsync(task);
        Assert.Null(function.Gisa);
        await group.SetKvmAsync(task, _g);
        Assert.Same(_g, function.Gisa);
    });

    [Fact]
    public void M072_M074_N_a_failing_registration_reaches_nobody() => Sequentially(async task =>
    {
        NotifierGroup group = new();
        NotifiedFunction function = new(group, registrationFails: true);
        Assert.Equal(Errno.Ok, await function.OpenAsync(task));
        Assert.Equal(Errno.Ok, await group.SetKvmAsync(task, _g));
        Assert.Null(function.Gisa);
    });

    [Fact]
    public void M073_N_a_function_that_is_none_of_zpci_opens_all_the_same() => Sequentially(async task =>
    {
        NotifierGroup group = new();
        NotifiedFunction function = new(group, hasZdev: false);
        Assert.Equal(Errno.Ok, await function.OpenAsync(task));
        await group.SetKvmAsync(task, _g);
        Assert.Null(function.Gisa);
    });

    [Fact]
    public void M076_N_cleaning_up_twice_is_harmless() => Sequentially(async task =>
    {
        NotifierGroup group = new();
        NotifiedFunction function = new(group);
        await function.OpenAsync(task);
        await group.SetKvmAsync(task, _g);
        await group.SetKvmAsync(task, null);
        await function.CloseAsync(task);
        Assert.Equal((1, 2), (function.Registrations, function.Releases));
        Assert.Null(function.Gisa);
    });

    [Fact]
    public void M077_N_registering_replays_the_present_vm() => Sequentially(async task =>
    {
        NotifierGroup group = new();
        await group.SetKvmAsync(task, _g);
        NotifiedFunction function = new(group);
        await function.OpenAsync(task);
        Assert.Equal(1, function.Registrations);
        Assert.Same(_g, function.Gisa);
    });

    [Fact]
    public void M110_N_the_second_device_that_opens_has_the_vm_delivered_to_the_first_again() => Sequentially(async task =>
    {
        NotifierGroup group = new();
        await group.SetKvmAsync(task, _g);
        NotifiedFunction first = new(group);
        NotifiedFunction second = new(group);
        await first.OpenAsync(task);
        await second.OpenAsync(task);
        Assert.Equal((2, 1), (first.Registrations, second.Registrations));
    });

    [Fact]
    public void M110_N_the_vm_is_delivered_twice_in_some_schedule_and_read_once_in_all()
    {
        DesignResult replay = Exhaust(() => new NotifierReplay());
        AssertHas(replay, "delivered 2 times");
        // Never not at all: that is what the replay is for.
        Assert.DoesNotContain("delivered 0 times", replay.Defects.Keys);
        Assert.Empty(Exhaust(() => new PointerRead()).Defects);
    }

    [Fact]
    public void M111_N_an_open_whose_registration_fails_is_open_and_unattached() => Sequentially(async task =>
    {
        NotifierGroup group = new() { NextRegistration = Errno.ENOMEM };
        NotifiedFunction function = new(group);
        Assert.Equal(Errno.Ok, await function.OpenAsync(task));
        await group.SetKvmAsync(task, _g);
        Assert.Equal((0, null), (function.Registrations, function.Gisa));
        await function.CloseAsync(task);
        Assert.Equal((0, null), (function.Registrations, function.Gisa));
    });

    [Fact]
    public void M111_N_a_second_mdev_that_its_callback_refuses_is_open_and_unattached() => Sequentially(async task =>
    {
        HashSet<ModelVm> attached = [];
        NotifierGroup one = new();
        NotifierGroup other = new();
        NotifiedMdev first = new(one, attached);
        NotifiedMdev second = new(other, attached);
        Assert.Equal(Errno.Ok, await one.SetKvmAsync(task, _g));
        Assert.Equal(Errno.Ok, await other.SetKvmAsync(task, _g));
        Assert.Equal(Errno.Ok, await first.OpenAsync(task));
        Assert.Equal(Errno.Ok, await second.OpenAsync(task));
        Assert.Equal((_g, null), (first.Kvm, second.Kvm));
        // There is nothing to undo: the first keeps what it has.
        await second.CloseAsync(task);
        Assert.Equal((_g, true), (first.Kvm, attached.Contains(_g)));
        await first.CloseAsync(task);
        Assert.Empty(attached);
    });

    [Fact]
    public void M078_N_events_and_kinds_that_there_are_not_are_refused() => Sequentially(async task =>
    {
        NotifierGroup group = new();
        int told = 0;
        ValueTask<Errno> Tell(KernelTask caller, ModelVm? vm)
        {
            told++;
            return new ValueTask<Errno>(Errno.Ok);
        }

        Assert.Equal(Errno.EINVAL, await group.RegisterAsync(task, NotifierKind.Group, NotifierEvents.Unknown, Tell));
        Assert.Equal(Errno.EINVAL, await group.RegisterAsync(task, NotifierKind.Group, NotifierEvents.First | NotifierEvents.Unknown, Tell));
        Assert.Equal(Errno.EINVAL, await group.RegisterAsync(task, NotifierKind.Unknown, NotifierEvents.First, Tell));
        Assert.Equal(Errno.EINVAL, group.RegisterUnmap(NotifierKind.Unknown, NotifierEvents.First, (_, _) => Errno.Ok));
        await group.SetKvmAsync(task, _g);
        Assert.Equal(0, told);
    });

    [Fact]
    public void M079_naive_open_uses_a_dead_vm_and_the_final_one_never()
    {
        AssertHas(Exhaust(() => new OpenAgainstVmEnd(takesReference: false)), "I16");
        Assert.Empty(Exhaust(() => new OpenAgainstVmEnd(takesReference: true)).Defects);
    }

    [Fact]
    public void M080_M081_M083_captured_on_each_open_the_vm_is_lost_while_a_file_is_open()
    {
        Sequentially(async task =>
        {
            foreach (Capture capture in Enum.GetValues<Capture>())
            {
                CapturingDevice device = new(capture) { GroupKvm = _g };
                await device.OpenAsync(task);
                await device.OpenAsync(task);
                await device.CloseAsync(task);
                Assert.Equal(capture == Capture.FirstOpen, device.Kvm is not null);
                await device.CloseAsync(task);
                Assert.Equal(capture == Capture.FirstOpen ? 0 : 1, device.References);
            }
        });
        AssertHas(Exhaust(() => new TwoOpeners(Capture.EachOpen)), "I17");
        Assert.Empty(Exhaust(() => new TwoOpeners(Capture.FirstOpen)).Defects);
    }

    [Fact]
    public void M084_as_proposed_a_missing_vm_is_success_without_a_file() => Sequentially(async task =>
    {
        Assert.Equal((Errno.Ok, false), await new CapturingDevice(Capture.EachOpen).OpenAsync(task));
        Assert.Equal((Errno.EINVAL, false), await new CapturingDevice(Capture.FirstOpen).OpenAsync(task));
    });

    [Fact]
    public void M089_looking_and_taking_in_two_steps_lets_two_consumers_in()
    {
        AssertHas(Exhaust(() => new UniqueConsumer(isAtomic: false)), "2 consumers");
        Assert.Empty(Exhaust(() => new UniqueConsumer(isAtomic: true)).Defects);
    }

    [Fact]
    public void M090_N_release_runs_once_only_if_its_flag_is_atomic()
    {
        AssertHas(Exhaust(() => new NotifiedRelease(losesRelease: true)), "released 2 times");
        Assert.Empty(Exhaust(() => new NotifiedRelease(losesRelease: false)).Defects);
    }

    [Fact]
    public void M104_N_one_of_two_devices_fails_and_the_caller_is_told_success() => Sequentially(async task =>
    {
        NotifierGroup group = new();
        NotifiedFunction first = new(group);
        NotifiedFunction second = new(group, registrationFails: true);
        await first.OpenAsync(task);
        await second.OpenAsync(task);
        Assert.Equal(Errno.Ok, await group.SetKvmAsync(task, _g));
        Assert.Same(_g, first.Gisa);
        Assert.Null(second.Gisa);
    });

    [Fact]
    public void N_callbacks_under_the_groups_lock_deadlock_with_what_holds_the_vms()
    {
        DesignResult result = Exhaust(() => new NotifierUnderGroupLock(opensUnderVm: true));
        AssertHas(result, DesignSearch.Deadlock);
        Assert.Contains(result.Cycles, cycle => cycle.Fate == CycleFate.Confirmed && cycle.Classes.Order(StringComparer.Ordinal).SequenceEqual(["group_rwsem", "kvm->lock"]));
        Assert.Empty(Exhaust(() => new NotifierUnderGroupLock(opensUnderVm: false)).Defects);
    }

    [Fact]
    public void Captured_under_the_groups_lock_open_and_the_release_of_the_vms_device_deadlock()
    {
        DesignResult result = Exhaust(() => new CaptureUnderGroupLock(hasLeafLock: false));
        AssertHas(result, DesignSearch.Deadlock);
        Assert.Contains(result.Cycles, cycle => cycle.Fate == CycleFate.Confirmed);
        Assert.Empty(Exhaust(() => new CaptureUnderGroupLock(hasLeafLock: true)).Defects);
    }

    [Fact]
    public void Given_back_under_the_groups_lock_the_last_close_waits_for_itself()
    {
        AssertHas(Exhaust(() => new PutUnderGroupLock(hasLeafLock: false)), DesignSearch.Deadlock);
        Assert.Empty(Exhaust(() => new PutUnderGroupLock(hasLeafLock: true)).Defects);
    }

    [Fact]
    public void A_cycle_behind_a_gate_lock_is_predicted_and_not_feasible()
    {
        DesignResult result = Exhaust(() => new GatedPair());
        Assert.DoesNotContain(DesignSearch.Deadlock, result.Defects.Keys);
        Assert.Equal(CycleFate.NotFeasibleHere, Assert.Single(result.Cycles).Fate);
        // Not all was seen: nothing can be said.
        result = DesignSearch.Run(() => new GatedPair(), new ExploreOptions { Strategy = Strategy.Random, ExecutionsMax = 20 });
        Assert.Equal(CycleFate.Unconfirmed, Assert.Single(result.Cycles).Fate);
    }
}

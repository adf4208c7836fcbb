namespace Apvirt.Mutation.Tests;

/// <summary>
/// Each defect is put into the source, and a short fuzzing run under strict must find it by one of the checks. A mutation
/// whose text is no longer in the source fails, so the list follows the code.
/// </summary>
public sealed class MutationTests
{
    private const string M = "Apvirt.VfioAp/Mdev/MatrixMdev";
    private const string Q = "Apvirt.VfioAp/Queues/";

    public static TheoryData<string, string, string, string> Mutations => new()
    {
        { "assign without ap_perms_mutex", $"{M}.Assign.cs", "Errno error = Assign(perms, locks,", "perms.Release();\n        Errno error = Assign(perms, locks," },
        { "ap_perms_mutex inside guests_lock", $"{M}.Assign.cs", "    private ValueTask<Errno> AssignAsync(KernelTask task, ReadOnlyMemory<byte> text, bool isAdapter)\n    {\n", "    private async ValueTask<Errno> AssignAsync(KernelTask task, ReadOnlyMemory<byte> text, bool isAdapter)\n    {\n        UpdateLocks outer = await Owner.LockForUpdateAsync(task, this);\n        return await AssignLockedAsync(await Owner.ApBus.LockPermsAsync(task), outer, text, isAdapter);\n    }\n\n    private ValueTask<Errno> UnusedAsync(KernelTask task, ReadOnlyMemory<byte> text, bool isAdapter)\n    {\n" },
        { "assignment not checked for other mdevs", $"{M}.Assign.cs", "if (other == this || ", "if (other != null || " },
        { "reserved queues may be assigned", $"{M}.Assign.cs", "if (Owner.ApBus.OwnsAny(perms, apm, aqm))", "if (Owner.ApBus.OwnsAny(perms, apm, aqm) && apm.IsEmpty)" },
        { "assigned queues not linked", $"{M}.Assign.cs", "            LinkAdapter(locks, id, aqm);", "            { }" },
        { "no filter after assigning", $"{M}.Assign.cs", "isNew ? FilterAndUpdateAsync(locks) : default", "isNew ? default : default(ValueTask)" },
        { "unassign does not reset", $"{M}.Unassign.cs", "Owner.Resets.Add(locks.Mdevs, Owner.ReadRow(locks.Task, apid)!, plugged);", "if (plugged.IsEmpty) Owner.Resets.Add(locks.Mdevs, Owner.ReadRow(locks.Task, apid)!, plugged);" },
        { "unassign does not tell the guest", $"{M}.Unassign.cs", "            UpdateGuest(locks.Task);\n        }\n        ValueTask reset", "        }\n        ValueTask reset" },
        { "links stay after unassigning", $"{M}.Unassign.cs", "            Links(locks)[apid] &= ~leaving;", "            { }" },
        { "pointer stays after unassigning", $"{M}.Unassign.cs", "                queue.SetMdev(locks, null);", "                { }" },
        { "armed queue not reset when it leaves unplugged", $"{M}.Unassign.cs", "            else if (queue.ReadInterrupt(locks.Task).IsAny)\n                Owner.Resets.Add(locks.Mdevs, queue);\n", "" },
        { "close does not clear the masks", $"{M}.Attach.cs", "        machine.ClearMasks(locks.Task);\n", "" },
        { "close leaves the hook", $"{M}.Attach.cs", "        machine.SetPqapHook(locks.Task, null);\n", "" },
        { "close does not reset", $"{M}.Attach.cs", "        CollectLinked(locks.Mdevs);\n        ValueTask reset = Owner.Resets.RunAsync(locks.Mdevs);\n", "        ValueTask reset = default;\n" },
        { "close leaks its reference", $"{M}.Attach.cs", "        machine.Put(locks.Task);\n", "" },
        { "open takes no reference", $"{M}.Attach.cs", "            machine.TryGet(task);\n", "" },
        { "a second mdev for a VM is not refused", $"{M}.Attach.cs", "machine.ReadPqapHook(task) is null ? Errno.Ok : Errno.EPERM", "machine.ReadPqapHook(task) is null ? Errno.Ok : Errno.Ok" },
        { "open does not fill the control block", $"{M}.Attach.cs", "            UpdateGuest(task);\n        }\n        MatrixDevice.UnlockForKvm", "        }\n        MatrixDevice.UnlockForKvm" },
        { "AQIC takes no lock", $"{M}.Attach.cs", "        MdevsHeld mdevs = await Owner.LockMdevsAsync(task);\n        ApStatus status", "        MdevsHeld mdevs = new(Owner, task);\n        ApStatus status" },
        { "unmap leaves queues armed", $"{M}.Attach.cs", "if (nib >= iova && nib - iova < length && (nib != 0 || disarmsAll))", "if (nib >= iova && nib - iova < length && disarmsAll)" },
        { "ap_config shown without a lock", $"{M}.Config.cs", "        MdevsHeld mdevs = await Owner.LockMdevsAsync(task);\n        AppendMasks(text, ReadMatrix(task));\n        mdevs.Release();", "        AppendMasks(text, ReadMatrix(task));" },
        { "filter ignores unlinked queues", $"{M}.Filter.cs", "if (aqm.IsSubsetOf(ReadyDomains(locks.Task, apid)))", "if (aqm.IsSubsetOf(ApMask.All))" },
        { "filter ignores the host's adapters", $"{M}.Filter.cs", "matrix.Apm & info.Apm", "matrix.Apm" },
        { "guest not told what the filter did", $"{M}.Filter.cs", "        UpdateGuest(locks.Task);\n        if (withheld", "        if (withheld" },
        { "guest_matrix read under no lock", $"{M}.Text.cs", "        MdevsHeld mdevs = await Owner.LockMdevsAsync(task);\n        Append(", "        MdevsHeld mdevs = new(Owner, task);\n        Append(" },
        { "removed mdev stays on the list", $"{M}.Life.cs", "        Owner.Remove(locks, this);\n", "" },
        { "mdev listed without guests_lock", $"{M}.Life.cs", "        GuestsHeld guests = await Owner.LockGuestsAsync(task);", "        GuestsHeld guests = await Owner.LockGuestsAsync(task); guests.Release();" },
        { "unplugging leaves the shadow", $"{M}.Life.cs", "        shadow.Apm = shadow.Apm.Without(apid);\n", "" },
        { "host removal leaves the shadow", $"{M}.Life.cs", "        if (rest == shadow)", "        if (rest != shadow)" },
        { "probe does not link", $"{M}.Life.cs", "        Link(locks, queue);\n", "" },
        { "remove does not unlink", "Apvirt.VfioAp/VfioApDriver.cs", "            mdev.Unlink(locks, queue.Apqn);", "            { }" },
        { "status file deleted under guests_lock", "Apvirt.VfioAp/VfioApDriver.cs", "    public override ValueTask RemoveAsync(KernelTask task, Device device)\n    {\n", "    public override async ValueTask RemoveAsync(KernelTask task, Device device)\n    {\n        UpdateLocks locks = await _matrix.LockForQueueAsync(task, ((ApQueue)device).Apqn);\n        await device.RemoveDriverAttributesAsync(task);\n        await RemoveLockedAsync(locks, ((ApQueue)device).Apqn);\n    }\n\n    private ValueTask UnusedAsync(KernelTask task, Device device)\n    {\n" },
        { "probe keeps its locks", "Apvirt.VfioAp/VfioApDriver.cs", "        locks.Release();\n        return new ValueTask<Errno>(Errno.Ok);", "        locks.ReleaseInner();\n        return new ValueTask<Errno>(Errno.Ok);" },
        { "in_use finds nothing", "Apvirt.VfioAp/VfioApDriver.cs", "            error = Errno.EADDRINUSE;", "            error = Errno.Ok;" },
        { "a new interrupt forgets the old one", $"{Q}QueueInterrupts.cs", "                await queue.FreeInterruptResourcesAsync(task);\n                queue.SetInterrupt(task, new QueueInterrupt(nib, isc));", "                queue.SetInterrupt(task, new QueueInterrupt(nib, isc));" },
        { "a failed registration keeps the page", $"{Q}QueueInterrupts.cs", "        machine.Gisa.Unregister(task, isc);\n        await mdev.Vfio.Pins.UnpinAsync(task, nib);", "        machine.Gisa.Unregister(task, isc);" },
        { "subclass not given back", $"{Q}QueueInterrupts.cs", "            mdev?.ReadKvm(task)?.Gisa.Unregister(task, interrupt.Isc, mdev.Owner.Profile);", "            { }" },
        { "inner lock released last", "Apvirt.VfioAp/Matrix/UpdateLocks.cs", "        Mdevs.Release();\n        _kvmLock?.Unlock(Task);", "        _kvmLock?.Unlock(Task);\n        Mdevs.Release();" },
        { "kvm->lock after mdevs_lock", "Apvirt.VfioAp/Matrix/MatrixDevice.cs", "    internal ValueTask<UpdateLocks> LockForKvmAsync(\n        KernelTask task, VirtualMachine machine, [CallerFilePath] string file = \"\", [CallerLineNumber] int line = 0)\n    {\n", "    internal async ValueTask<UpdateLocks> LockForKvmAsync(\n        KernelTask task, VirtualMachine machine, [CallerFilePath] string file = \"\", [CallerLineNumber] int line = 0)\n    {\n        await GuestsLock.LockAsync(task, file, line);\n        await MdevsLock.LockAsync(task, file, line);\n        await machine.Lock.LockAsync(task, file, line);\n        await machine.HookLock.LockWriteAsync(task, file, line);\n        return new UpdateLocks(this, task, kvmLock: null);\n    }\n\n    private ValueTask<UpdateLocks> UnusedAsync(KernelTask task, VirtualMachine machine, string file, int line)\n    {\n" },
        { "order: a rare path takes the hook's lock before kvm->lock", "Apvirt.VfioAp/Matrix/MatrixDevice.cs", "        if (taken < 2)\n            await machine.Lock.LockAsync(task, file, line);\n        if (taken < 3)\n            await machine.HookLock.LockWriteAsync(task, file, line);", "        if (taken < 3)\n            await machine.HookLock.LockWriteAsync(task, file, line);\n        if (taken < 2)\n            await machine.Lock.LockAsync(task, file, line);" },
        { "early release: mdevs_lock is dropped while a close waits for its reset", $"{M}.Attach.cs", "        await reset;\n        await ReleaseAfterAsync(DetachAsync(locks), locks, machine);", "        locks.Mdevs.Release();\n        await reset;\n        await Owner.MdevsLock.LockAsync(locks.Task);\n        await ReleaseAfterAsync(DetachAsync(locks), locks, machine);" },
        { "read after unlock: ap_config", $"{M}.Config.cs", "        AppendMasks(text, ReadMatrix(task));\n        mdevs.Release();", "        mdevs.Release();\n        AppendMasks(text, ReadMatrix(task));" },
        { "double put: close gives its reference back twice", $"{M}.Attach.cs", "        machine.Put(locks.Task);\n", "        machine.Put(locks.Task);\n        machine.Put(locks.Task);\n" },
        { "lock dropped around one field: the control domains", $"{M}.Assign.cs", "            ref MatrixMasks matrix = ref ChangeMatrix(locks);\n            matrix.Adm = matrix.Adm.With(apqi);\n", "            locks.Mdevs.Release();\n            ref MatrixMasks matrix = ref ChangeMatrix(locks);\n            matrix.Adm = matrix.Adm.With(apqi);\n            await Owner.MdevsLock.LockAsync(task);\n" },
        { "no kvm->lock for an update", "Apvirt.VfioAp/Matrix/MatrixDevice.cs", "KernelMutex? kvmLock = mdev?.ReadKvm(task)?.Lock;", "KernelMutex? kvmLock = mdev?.ReadKvm(task) is null ? null : null;" },
    };

    [Theory]
    [MemberData(nameof(Mutations))]
    public void A_defect_is_found(string name, string file, string find, string replace)
    {
        using MutatedHost host = MutatedHost.Make(file, find, replace);
        string? found = host.Fuzz(episodes: 600);
        TestContext.Current.TestOutputHelper?.WriteLine($"{name}: {found}");
        Assert.True(found is not null, $"no check finds \"{name}\"");
    }

    [Fact]
    public void M054_an_interception_that_takes_guests_lock_brings_the_cycle_back()
    {
        using MutatedHost host = MutatedHost.Make(
            $"{M}.Attach.cs",
            "        MdevsHeld mdevs = await Owner.LockMdevsAsync(task);\n        ApStatus status",
            "        (await Owner.LockGuestsAsync(task)).Release();\n        MdevsHeld mdevs = await Owner.LockMdevsAsync(task);\n        ApStatus status");
        string found = host.Fuzz(episodes: 600)!;
        Assert.Contains("guests_lock", found, StringComparison.Ordinal);
        Assert.Contains("vcpu->mutex", found, StringComparison.Ordinal);
    }

    [Fact]
    public void M056_a_vm_forgotten_before_the_reset_keeps_a_registered_subclass()
    {
        using MutatedHost host = MutatedHost.Make(
            $"{M}.Attach.cs",
            "        CollectLinked(locks.Mdevs);\n        ValueTask reset",
            "        _kvm.Write(locks.Task, this, VfioApGuards.Kvm, null);\n        CollectLinked(locks.Mdevs);\n        ValueTask reset");
        Assert.Contains("I22", host.Fuzz(episodes: 600)!, StringComparison.Ordinal);
    }

    [Fact]
    public void I19_a_hook_that_runs_without_its_lock_is_found()
    {
        using MutatedHost host = MutatedHost.Make(
            "Apvirt.Kvm/Interception/PqapInterception.cs",
            "            if (await hook.HandleAsync(task, vcpu, request) != Errno.Ok)\n                return new PqapAnswer(PqapOutcome.NotSupported);",
            "            machine.HookLock.UnlockRead(task);\n            Errno error = await hook.HandleAsync(task, vcpu, request);\n            await machine.HookLock.LockReadAsync(task);\n            if (error != Errno.Ok)\n                return new PqapAnswer(PqapOutcome.NotSupported);");
        Assert.Contains("pqap_hook_rwsem", host.Fuzz(episodes: 600)!, StringComparison.Ordinal);
    }

    // Nothing is wrong with either section: what is lost is lost between them. In one section nothing is, which ScenarioTests shows.
    [Fact]
    public void M123_looking_and_beginning_to_wait_in_two_sections_loses_a_wake_up()
    {
        using MutatedHost host = MutatedHost.Make(
            "Apvirt.Kvm/Interrupts/Gisa.Delivery.cs",
            "        using KernelSpinLock.Section section = RefLock.Lock(task);\n        ref GisaState state = ref _state.Change(task, this, KvmGuards.Delivery);\n        if (state.HoldOuts > 0)\n            return -1;\n        int possible = state.Pending & idle.Subclasses;\n",
            "        int possible;\n        using (RefLock.Lock(task))\n            possible = _state.Read(task, this, KvmGuards.Delivery).Pending & idle.Subclasses;\n        using KernelSpinLock.Section section = RefLock.Lock(task);\n        ref GisaState state = ref _state.Change(task, this, KvmGuards.Delivery);\n        if (state.HoldOuts > 0)\n            return -1;\n");
        Assert.Contains(host.Explore("x-wake.yaml"), violation => violation.StartsWith("V08 ", StringComparison.Ordinal));
    }

    // The check is right and in the wrong place: another thread's open comes between it and the locks.
    [Fact]
    public void M042_a_hook_that_is_looked_at_before_the_locks_lets_two_devices_in()
    {
        using MutatedHost host = MutatedHost.Make(
            $"{M}.Attach.cs",
            ("        ValueTask<UpdateLocks> locks = Owner.LockForKvmAsync(task, machine);\n        return locks.IsCompletedSuccessfully ? new ValueTask<Errno>(OpenLocked", "        if (machine.PqapHook is not null)\n            return new ValueTask<Errno>(Errno.EPERM);\n        ValueTask<UpdateLocks> locks = Owner.LockForKvmAsync(task, machine);\n        return locks.IsCompletedSuccessfully ? new ValueTask<Errno>(OpenLocked"),
            ("machine.ReadPqapHook(task) is null ? Errno.Ok : Errno.EPERM", "Errno.Ok"));
        Assert.Contains(host.Explore("x-two.yaml"), violation => violation[..4] is "I02 " or "I05 ");
    }

    // M131: what the unmap itself looks at is taken away; I23 is looked at from outside.
    [Fact]
    public void M131_an_unmap_that_does_not_look_again_once_it_has_its_lock_back_is_found()
    {
        using MutatedHost host = MutatedHost.Make(
            "Apvirt.Vfio/Memory/Type1Iommu.cs", "            await TellAsync(task, next);\n        }", "            await TellAsync(task, next);\n            Remove(task, next);\n        }");
        Assert.Contains(host.Explore("x-unmap.yaml"), violation => violation.StartsWith("I23 ", StringComparison.Ordinal));
    }

    // Which mdev a queue belongs to is looked at before guests_lock and used after it.
    [Fact]
    public void M134_a_decision_by_what_was_read_before_the_lock_is_found()
    {
        using MutatedHost host = MutatedHost.Make(
            "Apvirt.VfioAp/Matrix/MatrixDevice.cs",
            ("        await guests;\n        return await LockUnderGuestsAsync(new GuestsHeld(this, task), ReadQueue(task, apqn)!.ReadMdev(task), file, line);", "        MatrixMdev? early = Queue(apqn)!.Mdev;\n        await guests;\n        return await LockUnderGuestsAsync(new GuestsHeld(this, task), early, file, line);"));
        Assert.NotNull(host.Fuzz(episodes: 600));
    }

    // A reference that is counted up from none: who looked for the object gets one that is being freed.
    [Fact]
    public void M134_a_reference_that_rises_from_the_dead_is_found()
    {
        using MutatedHost host = MutatedHost.Make("Apvirt.Kernel/Sharing/RefCount.cs", ("if (now <= 0)", "if (now < 0)"));
        Assert.NotNull(host.Fuzz(episodes: 600));
    }

    // Files go although an operation still runs in them: what is behind them ends under its feet.
    [Fact]
    public void A_deletion_of_files_that_waits_for_nobody_is_found()
    {
        using MutatedHost host = MutatedHost.Make("Apvirt.Kernel/Locking/ActiveReferences.cs", ("            await _drained.WaitAsync(task);", "            await default(ValueTask);"));
        string found = host.Fuzz(episodes: 600)!;
        Assert.Contains("is destroyed while it is held", found, StringComparison.Ordinal);
    }

    // F17 is taken in every execution of the scenario, and has nothing to do with what is wrong: bindings shows two counts and
    // says "complete" of others.
    [Fact]
    public void M127_a_finding_that_is_taken_beside_a_defect_does_not_excuse_it()
    {
        using MutatedHost host = MutatedHost.Make("Apvirt.Ap/Bus/BusAttributes.cs", "bus.ScanCount > 0 && bound == all", "bus.ScanCount > 0 && bus.BoundCount == bus.QueueCount");
        IReadOnlyList<string> unpredicted = host.Explore("bindings-vs-mask.yaml", "linux-6.12");
        Assert.NotEmpty(unpredicted);
        Assert.All(unpredicted, violation => Assert.StartsWith("V06 ", violation, StringComparison.Ordinal));
    }

    // Who asks for a scan must not return after one that has looked before.
    [Fact]
    public void M130_joining_any_scan_that_runs_is_found()
    {
        using MutatedHost host = MutatedHost.Make("Apvirt.Ap/Bus/ApBus.Scan.cs", "if (isNew || _options.Profile.Deviates(task, Quirk.RunningScanShared))", "if (isNew || task.Id > 0)");
        Assert.Contains(host.Explore("two-configs.yaml"), violation => violation.StartsWith("V06 ", StringComparison.Ordinal));
    }

    [Fact]
    public void I34_a_file_that_is_not_bound_and_yet_attached_is_found()
    {
        using MutatedHost host = MutatedHost.Make(
            "Apvirt.Vfio/Devices/VfioDeviceFile.cs",
            "Group is not null || !ReadGranted(task) ? Errno.EINVAL\n        : space",
            "Group is not null ? Errno.EINVAL\n        : space");
        Assert.Contains("I34", host.Fuzz(episodes: 600)!, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_a_defect_nothing_is_found()
    {
        using MutatedHost host = MutatedHost.Make($"{M}.cs", "public sealed partial class MatrixMdev", "public sealed partial class MatrixMdev");
        Assert.Null(host.Fuzz(episodes: 20));
    }
}

using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Queues;

namespace Apvirt.VfioAp.Mdev;

/// <summary>The mdev and its VM: open, close, AQIC, unmap, request (vfio-ap.md §12, §14).</summary>
public sealed partial class MatrixMdev : IVfioDriver, IPqapHook
{
    /// <inheritdoc/>
    public DriverModule Module => Owner.Module;

    private const int RequestLogInterval = 10;

    /// <summary>The eventfd by which user space is asked to let go, for observers; null if it wants none.</summary>
    public Eventfd? RequestTrigger => _requestTrigger.Glance(Model.Runtime, this, VfioApGuards.RequestTrigger);

    /// <inheritdoc/>
    public VirtualMachine? HeldMachine => Kvm;

    /// <inheritdoc/>
    public ValueTask<Errno> OpenDeviceAsync(KernelTask task)
    {
        if (Vfio.ReadKvm(task) is not { } machine)
            return new ValueTask<Errno>(Errno.EINVAL);
        if (!machine.HasCrycb)
            return new ValueTask<Errno>(Errno.Ok);
        ValueTask<UpdateLocks> locks = Owner.LockForKvmAsync(task, machine);
        return locks.IsCompletedSuccessfully ? new ValueTask<Errno>(OpenLocked(locks.Result, machine)) : OpenAfterAsync(locks, machine);
    }

    /// <inheritdoc/>
    public ValueTask CloseDeviceAsync(KernelTask task)
    {
        // Only open and close change the VM, and dev_set->lock keeps them apart.
        if (_kvm.Glance(task.Runtime, this, VfioApGuards.Kvm) is not { } machine)
            return default;
        ValueTask<UpdateLocks> locks = Owner.LockForKvmAsync(task, machine);
        return locks.IsCompletedSuccessfully ? CloseLockedAsync(locks.Result, machine) : CloseAfterAsync(locks, machine);
    }

    private async ValueTask<Errno> OpenAfterAsync(ValueTask<UpdateLocks> locks, VirtualMachine machine) => OpenLocked(await locks, machine);

    private Errno OpenLocked(UpdateLocks locks, VirtualMachine machine)
    {
        KernelTask task = locks.Task;
        Errno error = machine.ReadPqapHook(task) is null ? Errno.Ok : Errno.EPERM;
        if (error == Errno.Ok)
        {
            machine.SetPqapHook(task, this);
            machine.TryGet(task);
            _kvm.Write(task, this, VfioApGuards.Kvm, machine);
            UpdateGuest(task);
        }
        MatrixDevice.UnlockForKvm(locks, machine);
        return error;
    }

    private async ValueTask CloseAfterAsync(ValueTask<UpdateLocks> locks, VirtualMachine machine) => await CloseLockedAsync(await locks, machine);

    private ValueTask CloseLockedAsync(UpdateLocks locks, VirtualMachine machine)
    {
        machine.SetPqapHook(locks.Task, null);
        machine.ClearMasks(locks.Task);
        CollectLinked(locks.Mdevs);
        ValueTask reset = Owner.Resets.RunAsync(locks.Mdevs);
        if (!reset.IsCompletedSuccessfully)
            return DetachAfterAsync(reset, locks, machine);
        ValueTask update = DetachAsync(locks);
        if (!update.IsCompletedSuccessfully)
            return ReleaseAfterAsync(update, locks, machine);
        Release(locks, machine);
        return default;
    }

    // The VM is told nothing any more of what is filtered now.
    private ValueTask DetachAsync(UpdateLocks locks)
    {
        _kvm.Write(locks.Task, this, VfioApGuards.Kvm, null);
        if (!Owner.Profile.Has(Quirk.RequestTriggerSurvivesClose))
            _requestTrigger.Write(locks.Task, this, VfioApGuards.RequestTrigger, null);
        return Owner.Profile.Deviates(locks.Task, Quirk.ResetDoesNotFilter) ? default : FilterAndUpdateAsync(locks);
    }

    private async ValueTask DetachAfterAsync(ValueTask reset, UpdateLocks locks, VirtualMachine machine)
    {
        await reset;
        await ReleaseAfterAsync(DetachAsync(locks), locks, machine);
    }

    private static async ValueTask ReleaseAfterAsync(ValueTask update, UpdateLocks locks, VirtualMachine machine)
    {
        await update;
        Release(locks, machine);
    }

    private static void Release(UpdateLocks locks, VirtualMachine machine)
    {
        MatrixDevice.UnlockForKvm(locks, machine);
        machine.Put(locks.Task);
    }

    /// <inheritdoc/>
    public async ValueTask DmaUnmapAsync(KernelTask task, ulong iova, ulong length)
    {
        bool disarmsAll = Owner.Profile.Has(Quirk.UnmapFromZeroDisarms);
        MdevsHeld mdevs = await Owner.LockMdevsAsync(task);
        foreach (int apid in Owner.ReadKnownAdapters(task))
        {
            foreach (int apqi in ReadLinked(task, apid))
            {
                VfioApQueue queue = Owner.ReadQueue(task, Apqn.Of(apid, apqi))!;
                ulong nib = queue.ReadInterrupt(task).Nib;
                if (nib >= iova && nib - iova < length && (nib != 0 || disarmsAll))
                    await QueueInterrupts.DisableAsync(mdevs, Owner, queue);
            }
        }
        if (task.Checks is not null && Vfio.Pins.IsAnyPinned(iova, length))
            ReportPinnedAfterUnmap(task, iova, length);
        mdevs.Release();
    }

    /// <inheritdoc/>
    public async ValueTask RequestAsync(KernelTask task, int count)
    {
        if (await ReadTriggerAsync(task) is { } trigger)
        {
            trigger.Signal();
            if (count % RequestLogInterval == 0 && Model.Log.IsRead)
                Model.Log.Write(LogLevel.Info, $"vfio_ap_mdev {Name}", $"user space asked to release the device (#{count})");
        }
        else if (count == 0 && Model.Log.IsRead)
        {
            Model.Log.Write(LogLevel.Info, $"vfio_ap_mdev {Name}", "no device request registered, blocked until released by user");
        }
    }

    /// <inheritdoc/>
    public async ValueTask<Errno> HandleAsync(KernelTask task, Vcpu vcpu, PqapRequest request)
    {
        // I19: who holds it keeps the hook, and so the mdev.
        task.AssertHeld(vcpu.Machine.HookLock);
        if (!vcpu.ReadAiv(task) || !request.HasAiv)
            return Errno.EOPNOTSUPP;
        MdevsHeld mdevs = await Owner.LockMdevsAsync(task);
        ApStatus status = ApResponse.NotAvailable;
        // The lookup is among the linked queues, not in the shadow (QUIRKS.md 31).
        Apqn apqn = request.Registers.Apqn;
        if (ReadKvm(task) is not null && ReadIsLinked(task, apqn))
        {
            VfioApQueue queue = Owner.ReadQueue(task, apqn)!;
            status = request.Registers.IsEnable
                ? await QueueInterrupts.EnableAsync(mdevs, Owner, this, vcpu, queue, request)
                : await QueueInterrupts.DisableAsync(mdevs, Owner, queue);
        }
        mdevs.Release();
        request.Registers.Return(status);
        return Errno.Ok;
    }

    /// <summary>VFIO_DEVICE_RESET: resets every linked queue.</summary>
    /// <param name="task">The calling task.</param>
    /// <returns>EIO if any queue ended with a code other than 00.</returns>
    public async ValueTask<Errno> ResetAsync(KernelTask task)
    {
        if (!Owner.Profile.Deviates(task, Quirk.ResetDoesNotFilter))
            return await ResetAndFilterAsync(task);
        MdevsHeld mdevs = await Owner.LockMdevsAsync(task);
        CollectLinked(mdevs);
        await Owner.Resets.RunAsync(mdevs);
        Errno error = Owner.Resets.Result(mdevs);
        mdevs.Release();
        return error;
    }

    private async ValueTask<Errno> ResetAndFilterAsync(KernelTask task)
    {
        UpdateLocks locks = await Owner.LockForUpdateAsync(task, this);
        CollectLinked(locks.Mdevs);
        await Owner.Resets.RunAsync(locks.Mdevs);
        Errno error = Owner.Resets.Result(locks.Mdevs);
        await FilterAndUpdateAsync(locks);
        locks.Release();
        return error;
    }

    // I23: nothing in the range may stay pinned when the unmap returns.
    private void ReportPinnedAfterUnmap(KernelTask task, ulong iova, ulong length) =>
        task.Checks!.Report(task, ViolationKind.Lifetime, "I23", $"a page in [0x{iova:x}, 0x{iova + length:x}) is pinned after it was unmapped from {Name}");

    private async ValueTask<Eventfd?> ReadTriggerAsync(KernelTask task)
    {
        if (Owner.Profile.Deviates(task, Quirk.RequestTriggerSurvivesClose))
            return _requestTrigger.Read(task, this, VfioApGuards.RequestTrigger);
        MdevsHeld mdevs = await Owner.LockMdevsAsync(task);
        Eventfd? trigger = _requestTrigger.Read(task, this, VfioApGuards.RequestTrigger);
        mdevs.Release();
        return trigger;
    }
}

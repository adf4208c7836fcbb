using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
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
    private const int RequestLogInterval = 10;

    /// <summary>The eventfd by which user space is asked to let go; null if it wants none. Under mdevs_lock (F09).</summary>
    public Eventfd? RequestTrigger { get; internal set; }

    /// <inheritdoc/>
    public async ValueTask<Errno> OpenDeviceAsync(KernelTask task)
    {
        if (Vfio.Kvm is not { } machine)
            return Errno.EINVAL;
        if (!machine.HasCrycb)
            return Errno.Ok;
        UpdateLocks locks = await LockForKvmAsync(task, machine);
        Errno error = machine.PqapHook is null ? Errno.Ok : Errno.EPERM;
        if (error == Errno.Ok)
        {
            machine.PqapHook = this;
            machine.TryGet();
            Kvm = machine;
            UpdateGuest(task);
        }
        UnlockForKvm(locks, machine);
        return error;
    }

    /// <inheritdoc/>
    public async ValueTask CloseDeviceAsync(KernelTask task)
    {
        // Only open and close change the VM, and dev_set->lock keeps them apart.
        if (Kvm is not { } machine)
            return;
        UpdateLocks locks = await LockForKvmAsync(task, machine);
        machine.PqapHook = null;
        machine.ClearMasks(task);
        CollectLinked();
        await Owner.Resets.RunAsync(task);
        Kvm = null;
        if (!Owner.Profile.Has(Quirk.RequestTriggerSurvivesClose))
            RequestTrigger = null;
        UnlockForKvm(locks, machine);
        machine.Put(task);
    }

    /// <inheritdoc/>
    public async ValueTask DmaUnmapAsync(KernelTask task, ulong iova, ulong length)
    {
        bool disarmsAll = Owner.Profile.Has(Quirk.UnmapFromZeroDisarms);
        await Owner.MdevsLock.LockAsync(task);
        for (int apid = 0; apid < ApMask.Size; apid++)
        {
            foreach (int apqi in LinkedDomains(apid))
            {
                VfioApQueue queue = Owner.Queue(Apqn.Of(apid, apqi))!;
                bool isInRange = queue.SavedNib >= iova && queue.SavedNib - iova < length;
                if (isInRange && (queue.SavedNib != 0 || disarmsAll))
                    await QueueInterrupts.DisableAsync(Owner, task, queue);
            }
        }
        Owner.MdevsLock.Unlock(task);
    }

    /// <inheritdoc/>
    public void Request(int count)
    {
        if (RequestTrigger is { } trigger)
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
        if (!vcpu.IsAivActive)
            return Errno.EOPNOTSUPP;
        await Owner.MdevsLock.LockAsync(task);
        ApStatus status = ApResponse.NotAvailable;
        // The lookup is among the linked queues, not in the shadow (QUIRKS.md 31).
        if (Kvm is { } machine && TryFindLinked(request.Registers.Apqn, out VfioApQueue? queue))
        {
            status = request.Registers.IsEnable
                ? await QueueInterrupts.EnableAsync(Owner, task, this, machine, queue!, request)
                : await QueueInterrupts.DisableAsync(Owner, task, queue!);
        }
        Owner.MdevsLock.Unlock(task);
        request.Registers.Return(status);
        return Errno.Ok;
    }

    /// <summary>VFIO_DEVICE_RESET: resets every linked queue.</summary>
    /// <param name="task">The calling task.</param>
    /// <returns>EIO if any queue ended with a code other than 00.</returns>
    public async ValueTask<Errno> ResetAsync(KernelTask task)
    {
        if (!Owner.Profile.Has(Quirk.FailedResetStaysPlugged))
            return await ResetAndFilterAsync(task);
        await Owner.MdevsLock.LockAsync(task);
        CollectLinked();
        await Owner.Resets.RunAsync(task);
        Errno error = Owner.Resets.Result();
        Owner.MdevsLock.Unlock(task);
        return error;
    }

    private async ValueTask<Errno> ResetAndFilterAsync(KernelTask task)
    {
        UpdateLocks locks = await Owner.LockForUpdateAsync(task, this);
        CollectLinked();
        await Owner.Resets.RunAsync(task);
        Errno error = Owner.Resets.Result();
        if (error != Errno.Ok)
            await FilterAndUpdateAsync(locks);
        locks.Release();
        return error;
    }

    // guests_lock, kvm->lock, pqap_hook_rwsem for write, mdevs_lock; the VM is not attached yet or will not be any more.
    private async ValueTask<UpdateLocks> LockForKvmAsync(KernelTask task, VirtualMachine machine)
    {
        await Owner.GuestsLock.LockAsync(task);
        await machine.Lock.LockAsync(task);
        await machine.HookLock.LockWriteAsync(task);
        await Owner.MdevsLock.LockAsync(task);
        return new UpdateLocks(Owner, task, kvmLock: null);
    }

    private void UnlockForKvm(UpdateLocks locks, VirtualMachine machine)
    {
        locks.ReleaseInner();
        machine.HookLock.UnlockWrite(locks.Task);
        machine.Lock.Unlock(locks.Task);
        Owner.GuestsLock.Unlock(locks.Task);
    }
}

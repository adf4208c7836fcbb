using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Machines;
using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.VfioAp.Queues;

/// <summary>Interrupts of a queue: AQIC on behalf of a guest, and what it ties up (vfio-ap.md §14). All under mdevs_lock.</summary>
internal static class QueueInterrupts
{
    private const int DisableAttempts = 6;
    private const int ClearAttempts = 5;
    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(20);

    // Without the quirk disabling goes on for so long: a queue that is busy longer is broken, and its page stays pinned.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Gives back the ISC registration and the pinned page that the last AQIC tied up. The task holds mdevs_lock, or works
    /// for who does.
    /// </summary>
    internal static async ValueTask FreeInterruptResourcesAsync(this VfioApQueue queue, KernelTask task)
    {
        QueueInterrupt interrupt = queue.ReadInterrupt(task);
        if (!interrupt.IsAny)
            return;
        MatrixMdev? mdev = queue.ReadMdev(task);
        if (interrupt.HasIsc)
            mdev?.ReadKvm(task)?.Gisa.Unregister(task, interrupt.Isc, mdev.Owner.Profile);
        if (interrupt.Nib != 0 && mdev is not null)
            await mdev.Vfio.Pins.UnpinAsync(task, interrupt.Nib);
        queue.SetInterrupt(task, mdev is null ? QueueInterrupt.None with { Nib = interrupt.Nib } : QueueInterrupt.None);
    }

    /// <summary>Disables the interrupts of a queue and frees what they tied up.</summary>
    internal static async ValueTask<ApStatus> DisableAsync(MdevsHeld mdevs, MatrixDevice matrix, VfioApQueue queue)
    {
        KernelTask task = mdevs.Task;
        ApStatus status = default;
        int attempts = matrix.Profile.Has(Quirk.GivesUpWhileArmed) ? DisableAttempts : (int)(Patience / RetryInterval);
        for (int attempt = 0; attempt < attempts; attempt++)
        {
            status = await matrix.Instructions.AqicAsync(task, queue.Apqn, new AqicControl(Enable: false, Isc: 0, NotificationByte: 0));
            switch (status.Code)
            {
                case ApResponse.Normal or ApResponse.OtherwiseChanged:
                    if (!await IsClearAsync(matrix, task, queue) && !matrix.Profile.Deviates(task, Quirk.GivesUpWhileArmed))
                        continue;
                    await queue.FreeInterruptResourcesAsync(task);
                    return status;
                case ApResponse.ResetInProgress or ApResponse.Busy:
                    await task.Runtime.DelayAsync(task, RetryInterval);
                    continue;
                default:
                    Warn(matrix, queue, $"unexpected response code {(int)status.Code:x2} while disabling interrupts");
                    if (matrix.Profile.Deviates(task, Quirk.GivesUpWhileArmed) || !matrix.Instructions.Tapq(queue.Apqn).InterruptEnabled)
                        await queue.FreeInterruptResourcesAsync(task);
                    return status;
            }
        }
        bool givesUp = matrix.Profile.Deviates(task, Quirk.GivesUpWhileArmed);
        Warn(matrix, queue, givesUp
            ? "interrupts could not be disabled; freeing what they use all the same"
            : "interrupts could not be disabled; what they use stays pinned");
        if (givesUp)
            await queue.FreeInterruptResourcesAsync(task);
        return status;
    }

    /// <summary>Enables the interrupts of a queue for a guest.</summary>
    internal static async ValueTask<ApStatus> EnableAsync(
        MdevsHeld mdevs, MatrixDevice matrix, MatrixMdev mdev, Vcpu vcpu, VfioApQueue queue, PqapRequest request)
    {
        KernelTask task = mdevs.Task;
        VirtualMachine machine = vcpu.Machine;
        ulong nib = request.Registers.Gr2;
        byte isc = request.Registers.Isc;
        if (nib == 0 || !machine.IsBacked(nib) || request.FailsToPin || await mdev.Vfio.Pins.PinAsync(task, nib) != Errno.Ok)
            return ApResponse.InvalidAddress;
        // Of the vCPU may be asked whether it is secure, of the VM not: that needs kvm->lock (I40).
        bool isOutOfReach = vcpu.ReadSecure(task) && !machine.Protection.IsShared(task, nib);
        if (isOutOfReach || machine.Gisa.Register(task, isc, out int hostIsc) != Errno.Ok)
        {
            await mdev.Vfio.Pins.UnpinAsync(task, nib);
            return ApResponse.InvalidAddress;
        }
        ApStatus status = await matrix.Instructions.AqicAsync(
            task, queue.Apqn, new AqicControl(Enable: true, (byte)hostIsc, nib, machine.Gisa.Designation, isc));
        switch (status.Code)
        {
            case ApResponse.Normal:
                await queue.FreeInterruptResourcesAsync(task);
                queue.SetInterrupt(task, new QueueInterrupt(nib, isc));
                break;
            case ApResponse.OtherwiseChanged:
                await GiveBackAsync(task, mdev, machine, nib, isc);
                break;
            default:
                Warn(matrix, queue, $"response code {(int)status.Code:x2} while enabling interrupts");
                // F04: what was just taken is forgotten, and what was there before is freed.
                if (matrix.Profile.Deviates(task, Quirk.FailedEnableLeaks))
                    await DisableAsync(mdevs, matrix, queue);
                else
                    await GiveBackAsync(task, mdev, machine, nib, isc);
                break;
        }
        return status;
    }

    private static async ValueTask GiveBackAsync(KernelTask task, MatrixMdev mdev, VirtualMachine machine, ulong nib, byte isc)
    {
        machine.Gisa.Unregister(task, isc);
        await mdev.Vfio.Pins.UnpinAsync(task, nib);
    }

    // Waits for the queue to show that it is disarmed.
    private static async ValueTask<bool> IsClearAsync(MatrixDevice matrix, KernelTask task, VfioApQueue queue)
    {
        for (int attempt = 0; attempt < ClearAttempts; attempt++)
        {
            if (!matrix.Instructions.Tapq(queue.Apqn).InterruptEnabled)
                return true;
            await task.Runtime.DelayAsync(task, RetryInterval);
        }
        return false;
    }

    private static void Warn(MatrixDevice matrix, VfioApQueue queue, string message)
    {
        if (matrix.Model.Log.IsRead)
            matrix.Model.Log.Write(LogLevel.Warning, $"vfio_ap {queue.Apqn}", message);
    }
}

using Apvirt.Ap.Architecture;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Bus;

/// <summary>
/// The machine that brings a queue of the host's own driver up and moves requests through it (ap-bus.md §9): reset, wait,
/// enable interrupts, then work. It runs while the queue is usable and has not been removed from its driver.
/// </summary>
public static class QueueMachine
{
    /// <summary>Sends a request to a queue of the host and waits for the reply.</summary>
    /// <param name="task">The asking task.</param>
    /// <param name="queue">The queue.</param>
    /// <param name="message">The request.</param>
    /// <returns>The request as it ended; ENODEV if the queue is not the host's or not online, EAGAIN if it was flushed.</returns>
    public static async ValueTask<HostRequest> SendAsync(KernelTask task, ApQueue queue, byte[] message)
    {
        if (queue.Driver is not ApDriver { IsDefault: true } || !queue.IsOnline || !queue.IsUsable)
        {
            HostRequest refused = new(task.Runtime, queue, psmid: 0, message);
            refused.End(Errno.ENODEV);
            return refused;
        }
        HostRequest request = queue.MakeRequests().Add(task, message);
        await StepAsync(task, queue);
        queue.ApBus.Poller.Watch(queue);
        await request.Done.WaitAsync(task);
        if (request.Error == Errno.Ok)
        {
            queue.CountRequest();
            queue.Card.CountRequest();
        }
        return request;
    }

    /// <summary>Starts the machine of a queue that the host's driver has taken.</summary>
    internal static void Restart(KernelTask task, ApQueue queue)
    {
        if (queue.DeviceState == QueueDeviceState.Uninitiated && queue.Driver is not ApDriver { IsDefault: true })
            return;
        queue.DeviceState = QueueDeviceState.Operating;
        queue.MachineState = QueueMachineState.ResetStart;
        if (queue.Driver is not ApDriver { IsDefault: true })
            return;
        StartReset(queue);
        queue.ApBus.Poller.Watch(queue);
    }

    internal static void Fail(KernelTask task, ApQueue queue, ApResponse code)
    {
        if (queue.DeviceState != QueueDeviceState.Uninitiated)
            queue.DeviceState = QueueDeviceState.Error;
        queue.LastError = code;
        Flush(task, queue);
    }

    /// <summary>Ends all requests of the host with EAGAIN.</summary>
    internal static void Flush(KernelTask task, ApQueue queue) => queue.Requests?.Flush(task);

    /// <summary>Whether the machine waits for something that only looking again can show.</summary>
    internal static bool NeedsPoll(ApQueue queue) =>
        queue is { DeviceState: QueueDeviceState.Operating, IsUsable: true, Driver: ApDriver { IsDefault: true } }
        && (queue.MachineState is not (QueueMachineState.Idle or QueueMachineState.Full)
            || queue.Requests is { WaitingCount: > 0 } or { PendingCount: > 0 });

    internal static async ValueTask StepAsync(KernelTask task, ApQueue queue)
    {
        if (queue.DeviceState != QueueDeviceState.Operating || !queue.IsUsable)
            return;
        switch (queue.MachineState)
        {
            case QueueMachineState.ResetStart:
                StartReset(queue);
                break;
            case QueueMachineState.ResetWait:
                await AwaitResetAsync(task, queue);
                break;
            case QueueMachineState.SetIrqWait:
                if (queue.ApBus.Instructions.Tapq(queue.Apqn).InterruptEnabled)
                    queue.MachineState = QueueMachineState.Idle;
                break;
            default:
                Work(task, queue);
                break;
        }
    }

    private static void StartReset(ApQueue queue)
    {
        ApResponse code = queue.ApBus.Instructions.Rapq(queue.Apqn).Code;
        if (code is ApResponse.Normal or ApResponse.ResetInProgress)
            queue.MachineState = QueueMachineState.ResetWait;
        else if (code != ApResponse.Busy)
            SetError(queue, code);
    }

    private static async ValueTask AwaitResetAsync(KernelTask task, ApQueue queue)
    {
        ApResponse code = queue.ApBus.Instructions.Tapq(queue.Apqn).Code;
        if (code is ApResponse.ResetInProgress or ApResponse.Busy)
            return;
        if (code != ApResponse.Normal)
        {
            SetError(queue, code);
            return;
        }
        queue.MachineState = QueueMachineState.Idle;
        if (!queue.ApBus.UsesInterrupts)
            return;
        ApStatus status = await queue.ApBus.Instructions.AqicAsync(
            task, queue.Apqn, new AqicControl(Enable: true, Isc: 6, NotificationByte: NotificationByteOf(queue)));
        if (status.Code is ApResponse.Normal or ApResponse.OtherwiseChanged)
            queue.MachineState = QueueMachineState.SetIrqWait;
    }

    // The host's own notification bytes are one page that the bus has; any address that is not zero will do.
    private static ulong NotificationByteOf(ApQueue queue) => 0x1000u + queue.Apqn.Apqi;

    private static void Work(KernelTask task, ApQueue queue)
    {
        if (queue.Requests is { } requests)
            queue.MachineState = requests.Move(task);
    }

    private static void SetError(ApQueue queue, ApResponse code)
    {
        queue.DeviceState = QueueDeviceState.Error;
        queue.LastError = code;
    }
}

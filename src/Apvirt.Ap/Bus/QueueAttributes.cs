using Apvirt.Ap.Architecture;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Bus;

/// <summary>The files that every queue has (sysfs.md §3.1); those of its driver are with the driver.</summary>
internal static class QueueAttributes
{
    internal static AttributeTable Table { get; } = new(
    [
        new SysfsAttribute<ApQueue>("request_count", SysfsMode.ReadWrite, ShowRequestCount, ResetRequestCount),
        new SysfsAttribute<ApQueue>("requestq_count", (queue, text) => text.AppendDecimal(queue.Requests?.WaitingCount ?? 0).AppendLine()),
        new SysfsAttribute<ApQueue>("pendingq_count", (queue, text) => text.AppendDecimal(queue.Requests?.PendingCount ?? 0).AppendLine()),
        new SysfsAttribute<ApQueue>("reset", SysfsMode.ReadWrite, ShowReset, StoreReset),
        new SysfsAttribute<ApQueue>("interrupt", ShowInterrupt),
        new SysfsAttribute<ApQueue>("config", (queue, text) => text.Append(queue.IsConfigured ? "1\n"u8 : "0\n"u8)),
        new SysfsAttribute<ApQueue>("chkstop", (queue, text) => text.Append(queue.IsCheckstopped ? "1\n"u8 : "0\n"u8)),
        new SysfsAttribute<ApQueue>("ap_functions", SysfsMode.ReadOnly, ShowFunctions),
    ]);

    private static ValueTask<Errno> ShowRequestCount(KernelTask task, ApQueue queue, SysfsText text)
    {
        if (queue.DeviceState == QueueDeviceState.Uninitiated)
            text.Append("-\n"u8);
        else
            text.AppendDecimal(queue.RequestCount).AppendLine();
        return new ValueTask<Errno>(Errno.Ok);
    }

    private static ValueTask<Errno> ResetRequestCount(KernelTask task, ApQueue queue, ReadOnlyMemory<byte> text)
    {
        queue.RequestCount = 0;
        return new ValueTask<Errno>(Errno.Ok);
    }

    private static ValueTask<Errno> ShowReset(KernelTask task, ApQueue queue, SysfsText text)
    {
        text.Append(queue.MachineState switch
        {
            QueueMachineState.ResetStart or QueueMachineState.ResetWait when queue.Driver is ApDriver { IsDefault: true } =>
                "Reset in progress.\n"u8,
            QueueMachineState.Working or QueueMachineState.Full => "Reset Timer armed.\n"u8,
            _ => "No Reset Timer set.\n"u8,
        });
        return new ValueTask<Errno>(Errno.Ok);
    }

    private static ValueTask<Errno> StoreReset(KernelTask task, ApQueue queue, ReadOnlyMemory<byte> text)
    {
        QueueMachine.Flush(task, queue);
        QueueMachine.Restart(task, queue);
        return new ValueTask<Errno>(Errno.Ok);
    }

    private static void ShowInterrupt(ApQueue queue, SysfsText text)
    {
        if (queue.MachineState == QueueMachineState.SetIrqWait)
            text.Append("Enable Interrupt pending.\n"u8);
        else if (queue.ApBus.Instructions.Tapq(queue.Apqn).InterruptEnabled)
            text.Append("Interrupts enabled.\n"u8);
        else
            text.Append("Interrupts disabled.\n"u8);
    }

    private static ValueTask<Errno> ShowFunctions(KernelTask task, ApQueue queue, SysfsText text)
    {
        ApStatus status = queue.ApBus.Instructions.Tapq(queue.Apqn, out ApQueueInfo info);
        if (status.Code > ApResponse.Busy)
            return new ValueTask<Errno>(Errno.EIO);
        CardAttributes.AppendFunctions(text, info.Functions);
        return new ValueTask<Errno>(Errno.Ok);
    }
}

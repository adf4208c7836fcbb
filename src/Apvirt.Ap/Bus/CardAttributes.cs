using System.Globalization;
using Apvirt.Ap.Architecture;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Bus;

/// <summary>The files that every card has (sysfs.md §2.1); those of its driver are with the driver.</summary>
internal static class CardAttributes
{
    internal static AttributeTable Table { get; } = new(
    [
        new SysfsAttribute<ApCard>("hwtype", (card, text) => text.AppendDecimal(card.HwType).AppendLine()),
        new SysfsAttribute<ApCard>("raw_hwtype", (card, text) => text.AppendDecimal(card.Info.Type).AppendLine()),
        new SysfsAttribute<ApCard>("depth", (card, text) => text.AppendDecimal(card.Info.Depth + 1).AppendLine()),
        new SysfsAttribute<ApCard>("ap_functions", (card, text) => AppendFunctions(text, card.Info.Functions)),
        new SysfsAttribute<ApCard>("request_count", SysfsMode.ReadWrite, ShowRequestCount, ResetRequestCounts),
        new SysfsAttribute<ApCard>("requestq_count", (card, text) => text.AppendDecimal(Sum(card, r => r.WaitingCount)).AppendLine()),
        new SysfsAttribute<ApCard>("pendingq_count", (card, text) => text.AppendDecimal(Sum(card, r => r.PendingCount)).AppendLine()),
        new SysfsAttribute<ApCard>("modalias", (card, text) =>
            text.Append("ap:t"u8).Append(card.HwType.ToString("X2", CultureInfo.InvariantCulture)).AppendLine()),
        new SysfsAttribute<ApCard>("config", SysfsMode.ReadWrite, ShowConfig, StoreConfig),
        new SysfsAttribute<ApCard>("chkstop", (card, text) => text.Append(card.IsCheckstopped ? "1\n"u8 : "0\n"u8)),
        new SysfsAttribute<ApCard>("max_msg_size", (card, text) => text.AppendDecimal(card.Info.MaxMessageBytes).AppendLine()),
    ]);

    internal static SysfsText AppendFunctions(SysfsText text, uint functions) =>
        text.Append("0x"u8).Append(functions.ToString("X8", CultureInfo.InvariantCulture)).AppendLine();

    private static int Sum(ApCard card, Func<HostRequests, int> count) =>
        card.Queues().Where(q => q.Driver is not null).Sum(q => q.Requests is null ? 0 : count(q.Requests));

    private static ValueTask<Errno> ShowRequestCount(KernelTask task, ApCard card, SysfsText text)
    {
        text.AppendDecimal(card.RequestCount).AppendLine();
        return new ValueTask<Errno>(Errno.Ok);
    }

    private static ValueTask<Errno> ResetRequestCounts(KernelTask task, ApCard card, ReadOnlyMemory<byte> text)
    {
        card.RequestCount = 0;
        foreach (ApQueue queue in card.Queues())
        {
            if (queue.Driver is not null)
                queue.RequestCount = 0;
        }
        return new ValueTask<Errno>(Errno.Ok);
    }

    private static ValueTask<Errno> ShowConfig(KernelTask task, ApCard card, SysfsText text)
    {
        text.Append(card.IsConfigured ? "1\n"u8 : "0\n"u8);
        return new ValueTask<Errno>(Errno.Ok);
    }

    // Only the card's flag changes at once; its queues follow at the next scan. The event is sent even without a change.
    private static ValueTask<Errno> StoreConfig(KernelTask task, ApCard card, ReadOnlyMemory<byte> text)
    {
        if (SysfsNumber.ScanDecimal(text.Span, out int value) != Errno.Ok || value is not (0 or 1))
            return new ValueTask<Errno>(Errno.EINVAL);
        bool configure = value == 1;
        if (configure != card.IsConfigured)
        {
            Errno error = card.ApBus.Firmware?.Reconfigure(card.Apid, configure) ?? Errno.EOPNOTSUPP;
            if (error != Errno.Ok)
                return new ValueTask<Errno>(error);
            card.IsConfigured = configure;
        }
        card.Model.Uevents.Send(card, "change", "CONFIG", configure ? "1" : "0");
        return new ValueTask<Errno>(Errno.Ok);
    }
}

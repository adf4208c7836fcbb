using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Drivers;

/// <summary>The host's driver of queues CEX4 to CEX8 (sysfs.md §3.3).</summary>
public sealed class Cex4QueueDriver : ApDriver
{
    internal const string OperationModes = "FIPS2009 BSI2009 FIPS2011 BSI2011 BSICC2017";

    private static readonly SysfsAttribute[] Common =
    [
        new SysfsAttribute<ApQueue>("online", SysfsMode.ReadWrite, ShowOnline, StoreOnline),
        new SysfsAttribute<ApQueue>("load", (_, text) => text.Append("0\n"u8)),
    ];

    private static readonly AttributeTable Accelerator = new(Common);
    private static readonly AttributeTable Cca = new([.. Common, new SysfsAttribute<ApQueue>("mkvps", ShowCcaPatterns)]);

    private static readonly AttributeTable Ep11 = new(
    [
        .. Common,
        new SysfsAttribute<ApQueue>("mkvps", ShowEp11Patterns),
        new SysfsAttribute<ApQueue>("op_modes", (_, text) => text.Append(OperationModes).AppendLine()),
    ]);

    /// <summary>Makes the driver.</summary>
    /// <param name="bus">The bus.</param>
    public Cex4QueueDriver(ApBus bus) : base(bus, "cex4queue")
    {
        if (bus.Model.Tree.Module.TryFind("zcrypt_cex4", out SysfsEntry module))
            AddLink("module", module.Directory);
    }

    /// <inheritdoc/>
    public override bool IsDefault => true;

    /// <inheritdoc/>
    public override bool TakesQueues => true;

    /// <inheritdoc/>
    public override ValueTask<Errno> ProbeAsync(KernelTask task, Device device)
    {
        ApQueue queue = (ApQueue)device;
        queue.AddDriverAttributes(task, queue.Card.Info.Mode switch
        {
            ApMode.Cca => Cca,
            ApMode.Ep11 => Ep11,
            _ => Accelerator,
        });
        queue.IsOnline = true;
        QueueMachine.Restart(task, queue);
        return new ValueTask<Errno>(Errno.Ok);
    }

    /// <inheritdoc/>
    public override ValueTask RemoveAsync(KernelTask task, Device device) => device.RemoveDriverAttributesAsync(task);

    internal static void SetOnline(KernelTask task, ApQueue queue, bool online)
    {
        queue.IsOnline = online;
        queue.Model.Uevents.Send(queue, "change", "ONLINE", online ? "1" : "0");
        if (!online)
            QueueMachine.Flush(task, queue);
    }

    private static ValueTask<Errno> ShowOnline(KernelTask task, ApQueue queue, SysfsText text)
    {
        text.Append(queue.IsUsable && queue.IsOnline ? "1\n"u8 : "0\n"u8);
        return new ValueTask<Errno>(Errno.Ok);
    }

    private static ValueTask<Errno> StoreOnline(KernelTask task, ApQueue queue, ReadOnlyMemory<byte> text)
    {
        if (SysfsNumber.ScanDecimal(text.Span, out int value) != Errno.Ok || value is not (0 or 1))
            return new ValueTask<Errno>(Errno.EINVAL);
        bool online = value == 1;
        if (online && (!queue.IsUsable || !queue.Card.IsUsable))
            return new ValueTask<Errno>(Errno.ENODEV);
        if (online && !queue.Card.IsOnline)
            return new ValueTask<Errno>(Errno.EINVAL);
        SetOnline(task, queue, online);
        return new ValueTask<Errno>(Errno.Ok);
    }

    // Master key verification patterns of a simulated domain: made from its number, so they stay the same.
    private static void ShowCcaPatterns(ApQueue queue, SysfsText text)
    {
        SplitMix pattern = new(queue.Apqn.Number);
        foreach (string key in (ReadOnlySpan<string>)["AES", "APKA", "ASYM"])
        {
            int words = key == "ASYM" ? 2 : 1;
            foreach (string line in (ReadOnlySpan<string>)["NEW: empty", "CUR: valid", "OLD: valid"])
            {
                text.Append(key).Append(" "u8).Append(line).Append(" 0x"u8);
                for (int i = 0; i < words; i++)
                    text.AppendHex(line.StartsWith("NEW", StringComparison.Ordinal) ? 0 : pattern.Next(), 16);
                text.AppendLine();
            }
        }
    }

    private static void ShowEp11Patterns(ApQueue queue, SysfsText text)
    {
        SplitMix pattern = new(queue.Apqn.Number);
        text.Append("WK CUR: valid 0x"u8);
        for (int i = 0; i < 4; i++)
            text.AppendHex(pattern.Next(), 16);
        text.Append("\nWK NEW: empty -\n"u8);
    }
}

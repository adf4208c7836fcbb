using System.Globalization;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Drivers;

/// <summary>The host's driver of cards CEX4 to CEX8 (sysfs.md §2.2).</summary>
public sealed class Cex4CardDriver : ApDriver
{
    private static readonly SysfsAttribute[] Common =
    [
        new SysfsAttribute<ApCard>("type", (card, text) => text.Append(TypeName(card)).AppendLine()),
        new SysfsAttribute<ApCard>("online", SysfsMode.ReadWrite, ShowOnline, StoreOnline),
        new SysfsAttribute<ApCard>("load", (_, text) => text.Append("0\n"u8)),
    ];

    private static readonly SysfsAttribute Serial = new SysfsAttribute<ApCard>("serialnr", (card, text) =>
        text.Append(card.ApBus.Firmware?.SerialOf(card.Apid) ?? "").AppendLine());

    private static readonly AttributeTable Accelerator = new(Common);
    private static readonly AttributeTable Cca = new([.. Common, Serial]);

    private static readonly AttributeTable Ep11 = new(
    [
        .. Common,
        new SysfsAttribute<ApCard>("API_ordinalnr", (_, text) => text.Append("6\n"u8)),
        new SysfsAttribute<ApCard>("FW_version", (_, text) => text.Append("5.8\n"u8)),
        Serial,
        new SysfsAttribute<ApCard>("op_modes", (_, text) => text.Append(Cex4QueueDriver.OperationModes).AppendLine()),
    ]);

    /// <summary>Makes the driver.</summary>
    /// <param name="bus">The bus.</param>
    public Cex4CardDriver(ApBus bus) : base(bus, "cex4card") => AddLink("module", new ModuleDirectory(bus.Model.Tree, "zcrypt_cex4"));

    /// <inheritdoc/>
    public override bool IsDefault => true;

    /// <inheritdoc/>
    public override bool TakesQueues => false;

    /// <summary>The name that lszcrypt shows: CEX4A to CEX8P.</summary>
    /// <param name="card">The card.</param>
    public static string TypeName(ApCard card)
    {
        char letter = card.Info.Mode switch
        {
            ApMode.Accelerator => 'A',
            ApMode.Cca => 'C',
            _ => 'P',
        };
        return string.Create(CultureInfo.InvariantCulture, $"CEX{card.HwType - 6}{letter}");
    }

    /// <inheritdoc/>
    public override ValueTask<Errno> ProbeAsync(KernelTask task, Device device)
    {
        ApCard card = (ApCard)device;
        AttributeTable? table = card.Info.Mode switch
        {
            ApMode.Accelerator => Accelerator,
            ApMode.Cca => Cca,
            ApMode.Ep11 => Ep11,
            _ => null,
        };
        if (table is null)
            return new ValueTask<Errno>(Errno.ENODEV);
        card.IsOnline = true;
        card.AddDriverAttributes(task, table);
        return new ValueTask<Errno>(Errno.Ok);
    }

    /// <inheritdoc/>
    public override ValueTask RemoveAsync(KernelTask task, Device device) => device.RemoveDriverAttributesAsync(task);

    private static ValueTask<Errno> ShowOnline(KernelTask task, ApCard card, SysfsText text)
    {
        text.Append(card.IsUsable && card.IsOnline ? "1\n"u8 : "0\n"u8);
        return new ValueTask<Errno>(Errno.Ok);
    }

    // Sets the card and all its queues of the host; the card's event goes first, then one for each queue that changed.
    private static ValueTask<Errno> StoreOnline(KernelTask task, ApCard card, ReadOnlyMemory<byte> text)
    {
        if (SysfsNumber.ScanDecimal(text.Span, out int value) != Errno.Ok || value is not (0 or 1))
            return new ValueTask<Errno>(Errno.EINVAL);
        bool online = value == 1;
        if (online && !card.IsUsable)
            return new ValueTask<Errno>(Errno.ENODEV);
        card.IsOnline = online;
        card.Model.Uevents.Send(card, "change", "ONLINE", online ? "1" : "0");
        foreach (ApQueue queue in card.Queues())
        {
            if (queue.Driver is ApDriver { IsDefault: true } && queue.IsOnline != online)
                Cex4QueueDriver.SetOnline(task, queue, online);
        }
        return new ValueTask<Errno>(Errno.Ok);
    }
}

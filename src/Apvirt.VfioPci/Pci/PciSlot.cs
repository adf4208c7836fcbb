using System.Globalization;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci.Pci;

/// <summary>A function that is plugged in, below <c>/sys/bus/pci/slots</c> by its number: in the configuration or out of it.</summary>
public sealed class PciSlot : SysfsDirectory
{
    private static readonly LockClass FilesClass = new("kn_active(pci slot)", LockKind.ActiveReference);

    private static readonly AttributeTable Table = new(
    [
        new SysfsAttribute<PciSlot>("address", (slot, text) => text.Append(slot.Address.AsSpan(0, 10)).AppendLine()),
        new SysfsAttribute<PciSlot>(
            "power",
            SysfsMode.ReadWrite,
            show: static (_, slot, text) =>
            {
                text.Append(slot.IsConfigured ? "1\n"u8 : "0\n"u8);
                return new ValueTask<Errno>(Errno.Ok);
            },
            store: static (task, slot, text) =>
                SysfsNumber.ParseUnsigned(text.Span, out ulong value) != Errno.Ok || value > 1
                    ? new ValueTask<Errno>(Errno.EINVAL)
                    : slot._bus.ConfigureAsync(task, slot, value == 1)),
    ]);

    private readonly PciBus _bus;

    internal PciSlot(SysfsDirectory slots, PciBus bus, PciFunctionSetup setup, ZpciFunction function, string address)
        : base(setup.Fid.ToString("x8", CultureInfo.InvariantCulture), slots, FilesClass)
    {
        _bus = bus;
        Setup = setup;
        Function = function;
        Address = address;
    }

    /// <summary>What is plugged in.</summary>
    public PciFunctionSetup Setup { get; }

    /// <summary>The function as the firmware knows it.</summary>
    public ZpciFunction Function { get; }

    /// <summary>The address that it has, or will have.</summary>
    public string Address { get; }

    /// <summary>Whether it is in the configuration. Under pci_rescan_remove_lock.</summary>
    public bool IsConfigured { get; internal set; } = true;

    /// <summary>The function's device, for observers; null while there is none.</summary>
    public PciDevice? Device { get; internal set; }

    /// <inheritdoc/>
    public override AttributeTable Attributes => Table;
}

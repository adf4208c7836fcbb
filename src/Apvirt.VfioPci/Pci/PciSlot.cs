using System.Globalization;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
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
                    : slot.Bus.ConfigureAsync(task, slot, value == 1)),
    ]);

    // Guarded by pci_rescan_remove_lock.
    private Guarded<bool> _isConfigured = new(true);
    private Guarded<PciDevice?> _device;

    internal PciSlot(SysfsDirectory slots, PciBus bus, PciFunctionSetup setup, ZpciFunction function, string address)
        : base(setup.Fid.ToString("x8", CultureInfo.InvariantCulture), slots, FilesClass)
    {
        Bus = bus;
        Setup = setup;
        Function = function;
        Address = address;
    }

    /// <summary>The bus.</summary>
    public PciBus Bus { get; }

    /// <summary>What is plugged in.</summary>
    public PciFunctionSetup Setup { get; }

    /// <summary>The function as the firmware knows it.</summary>
    public ZpciFunction Function { get; }

    /// <summary>The address that it has, or will have.</summary>
    public string Address { get; }

    /// <summary>Whether it is in the configuration, for observers.</summary>
    public bool IsConfigured => _isConfigured.Glance(Bus.Model.Runtime, this, ZpciGuards.Slot);

    /// <summary>The function's device, for observers; null while there is none.</summary>
    public PciDevice? Device => _device.Glance(Bus.Model.Runtime, this, ZpciGuards.Slot);

    /// <inheritdoc/>
    public override AttributeTable Attributes => Table;

    internal bool ReadConfigured(KernelTask task) => _isConfigured.Read(task, this, ZpciGuards.Slot);

    internal void SetConfigured(KernelTask task, bool isConfigured) => _isConfigured.Write(task, this, ZpciGuards.Slot, isConfigured);

    internal PciDevice? ReadDevice(KernelTask task) => _device.Read(task, this, ZpciGuards.Slot);

    internal void SetDevice(KernelTask task, PciDevice? device) => _device.Write(task, this, ZpciGuards.Slot, device);
}

using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.VfioPci.Pci;

/// <summary>Vendor and device of functions that a driver takes.</summary>
/// <param name="Vendor">Vendor id.</param>
/// <param name="Device">Device id.</param>
public readonly record struct PciId(uint Vendor, uint Device);

/// <summary>A driver of PCI functions: those whose ids it knows, those that it is told of, and those that are meant for it alone.</summary>
public abstract class PciDriver : Driver
{
    private static readonly AttributeTable Table = new(
    [
        .. StandardAttributes,
        new SysfsAttribute<PciDriver>("new_id", SysfsMode.WriteOnly, store: static (task, driver, text) => driver.StoreNewIdAsync(task, text)),
        new SysfsAttribute<PciDriver>("remove_id", SysfsMode.WriteOnly, store: static (_, driver, text) => new ValueTask<Errno>(driver.StoreRemoveId(text))),
    ]);

    private readonly ImmutableArray<PciId> _known;
    private Shared<PciId[]> _told = new([]);

    /// <summary>Makes a driver that is not registered yet.</summary>
    /// <param name="bus">The PCI bus.</param>
    /// <param name="name">Its name.</param>
    /// <param name="known">The functions that it knows.</param>
    protected PciDriver(PciBus bus, string name, params PciId[] known) : base(bus, name) => _known = [.. known];

    /// <inheritdoc/>
    public override AttributeTable Attributes => Table;

    /// <summary>Whether the driver may have a device: it is meant for the driver, or for none and its ids are known.</summary>
    /// <param name="device">The device.</param>
    internal bool Matches(PciDevice device)
    {
        if (device.DriverOverride is { } only)
            return string.Equals(only, Name, StringComparison.Ordinal);
        PciId id = new(device.Setup.Type.Vendor, device.Setup.Type.Device);
        return _known.Contains(id) || ReadTold().Contains(id);
    }

    /// <summary>Tells the driver of functions that it takes from now on.</summary>
    /// <param name="id">Their vendor and device.</param>
    /// <returns>EEXIST if it knows them.</returns>
    public Errno Tell(PciId id)
    {
        PciId[] told;
        do
        {
            told = ReadTold();
            if (_known.Contains(id) || told.Contains(id))
                return Errno.EEXIST;
        }
        while (!TryReplace(told, [.. told, id]));
        return Errno.Ok;
    }

    private async ValueTask<Errno> StoreNewIdAsync(KernelTask task, ReadOnlyMemory<byte> text)
    {
        if (ParseId(text.Span) is not { } id)
            return Errno.EINVAL;
        Errno error = Tell(id);
        if (error != Errno.Ok)
            return error;
        foreach (Device device in Bus.Devices())
        {
            if (device.Driver is null && device is PciDevice function && Matches(function))
                await Bus.AssociateAsync(task, this, device);
        }
        return Errno.Ok;
    }

    private Errno StoreRemoveId(ReadOnlyMemory<byte> text)
    {
        if (ParseId(text.Span) is not { } id)
            return Errno.EINVAL;
        PciId[] told;
        do
        {
            told = ReadTold();
            if (!told.Contains(id))
                return Errno.ENODEV;
        }
        while (!TryReplace(told, [.. told.Where(other => other != id)]));
        return Errno.Ok;
    }

    private KernelRuntime OfBus => Bus.Model.Runtime;

    private PciId[] ReadTold() => _told.Read(OfBus, this, PciFields.DynamicIds);

    private bool TryReplace(PciId[] told, PciId[] by) => _told.TryChange(OfBus, this, PciFields.DynamicIds, told, by);

    // Vendor and device, hexadecimal; more numbers may follow.
    private static PciId? ParseId(ReadOnlySpan<byte> text)
    {
        string[] words = Encoding.UTF8.GetString(text).Split([' ', '\n', '\t'], StringSplitOptions.RemoveEmptyEntries);
        return words.Length >= 2
            && uint.TryParse(words[0], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint vendor)
            && uint.TryParse(words[1], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint device)
            ? new PciId(vendor, device)
            : null;
    }
}

/// <summary>A driver of the host's own: while it has a function, the host does DMA with it.</summary>
public class NativePciDriver : PciDriver
{
    /// <summary>Makes the driver of a kind of function.</summary>
    /// <param name="bus">The PCI bus.</param>
    /// <param name="type">The kind.</param>
    public NativePciDriver(PciBus bus, PciFunctionType type) : base(bus, type.Driver, new PciId(type.Vendor, type.Device))
    {
    }

    /// <inheritdoc/>
    /// <returns>EBUSY while user space has the DMA of the function's group.</returns>
    public override ValueTask<Errno> ProbeAsync(KernelTask task, Device device) => new(((PciDevice)device).Group.Dma!.BeginHostUse(task));

    /// <inheritdoc/>
    public override ValueTask RemoveAsync(KernelTask task, Device device)
    {
        ((PciDevice)device).Group.Dma!.EndHostUse(task);
        return default;
    }
}

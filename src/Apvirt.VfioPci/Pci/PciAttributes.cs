using System.Buffers.Binary;
using System.Text;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.VfioPci.Pci;

/// <summary>The files of a PCI function: those of every PCI device, and those that the firmware of IBM Z machines adds.</summary>
internal static class PciAttributes
{
    private const int ConfigurationBytes = 256;
    private const int Resources = 7;

    internal static AttributeTable Table { get; } = new(
    [
        Number("vendor", device => device.Setup.Type.Vendor, 4),
        Number("device", device => device.Setup.Type.Device, 4),
        Number("subsystem_vendor", device => device.Setup.Type.SubsystemVendor, 4),
        Number("subsystem_device", device => device.Setup.Type.SubsystemDevice, 4),
        Number("class", device => device.Setup.Type.ClassCode, 6),
        Number("revision", _ => 0, 2),
        new SysfsAttribute<PciDevice>("irq", (_, text) => text.Append("0\n"u8)),
        new SysfsAttribute<PciDevice>("numa_node", (_, text) => text.Append("-1\n"u8)),
        new SysfsAttribute<PciDevice>("modalias", (device, text) => text.Append(device.Setup.Type.Modalias).AppendLine()),
        new SysfsAttribute<PciDevice>("resource", (_, text) => ShowResources(text)),
        new SysfsAttribute<PciDevice>("config", (device, text) => ShowConfiguration(device, text), SysfsMode.ReadOnly),
        new SysfsAttribute<PciDevice>("driver_override", SysfsMode.ReadWrite, ShowOverrideAsync, StoreOverrideAsync),
        new SysfsAttribute<PciDevice>("remove", SysfsMode.WriteOnly, store: StoreRemoveAsync) { RemovesItsOwner = true },
        Number("function_id", device => device.Setup.Fid, 8),
        Number("function_handle", device => device.Function.Firmware.Handle, 8),
        Number("pchid", device => device.Setup.Pchid, 4),
        Number("pfgid", device => device.Setup.Pfgid, 2),
        Number("pft", device => device.Setup.Type.FunctionType, 2),
        Number("vfn", device => device.Setup.Vfn, 4),
        Number("fidparm", _ => 0, 2),
        new SysfsAttribute<PciDevice>("port", (device, text) => text.AppendDecimal(device.Setup.Port).AppendLine()),
        new SysfsAttribute<PciDevice>("uid", (device, text) => text.Append("0x"u8).Append(device.Setup.Uid.ToString("x", System.Globalization.CultureInfo.InvariantCulture)).AppendLine()),
        new SysfsAttribute<PciDevice>("uid_is_unique", (device, text) => text.AppendDecimal(device.Owner.HasUniqueUids ? 1 : 0).AppendLine()),
        new SysfsAttribute<PciDevice>("mio_enabled", (_, text) => text.Append("1\n"u8)),
        new SysfsAttribute<PciDevice>("recover", SysfsMode.WriteOnly, store: StoreRecoverAsync) { RemovesItsOwner = true },
    ]);

    internal static void AppendNumber(SysfsText text, ulong value, int digits) => text.Append("0x"u8).AppendHex(value, digits).AppendLine();

    private static SysfsAttribute<PciDevice> Number(string name, Func<PciDevice, uint> value, int digits) =>
        new(name, (device, text) => AppendNumber(text, value(device), digits));

    // No memory of the device is mapped by anybody here.
    private static void ShowResources(SysfsText text)
    {
        for (int i = 0; i < Resources; i++)
            text.Append("0x0000000000000000 0x0000000000000000 0x0000000000000000\n"u8);
    }

    // The header that every function has; the rest reads as zero.
    private static void ShowConfiguration(PciDevice device, SysfsText text)
    {
        Span<byte> space = stackalloc byte[ConfigurationBytes];
        PciFunctionType type = device.Setup.Type;
        BinaryPrimitives.WriteUInt16LittleEndian(space, type.Vendor);
        BinaryPrimitives.WriteUInt16LittleEndian(space[0x02..], type.Device);
        BinaryPrimitives.WriteUInt32LittleEndian(space[0x08..], type.ClassCode << 8);
        BinaryPrimitives.WriteUInt16LittleEndian(space[0x2c..], type.SubsystemVendor);
        BinaryPrimitives.WriteUInt16LittleEndian(space[0x2e..], type.SubsystemDevice);
        text.Append(space);
    }

    private static ValueTask<Errno> ShowOverrideAsync(KernelTask task, PciDevice device, SysfsText text)
    {
        text.Append(device.DriverOverride ?? "(null)").AppendLine();
        return new ValueTask<Errno>(Errno.Ok);
    }

    // An empty line takes the name away; the device keeps whatever driver it has.
    private static ValueTask<Errno> StoreOverrideAsync(KernelTask task, PciDevice device, ReadOnlyMemory<byte> text)
    {
        string name = Encoding.UTF8.GetString(text.Span).Split('\n')[0];
        device.DriverOverride = name.Length == 0 ? null : name;
        return new ValueTask<Errno>(Errno.Ok);
    }

    private static async ValueTask<Errno> StoreRemoveAsync(KernelTask task, PciDevice device, ReadOnlyMemory<byte> text)
    {
        if (SysfsNumber.ParseUnsigned(text.Span, out ulong value) != Errno.Ok)
            return Errno.EINVAL;
        if (value != 0)
            await device.Owner.RemoveAsync(task, device);
        return Errno.Ok;
    }

    // The function is taken from whoever has it, reset and found again.
    private static async ValueTask<Errno> StoreRecoverAsync(KernelTask task, PciDevice device, ReadOnlyMemory<byte> text)
    {
        await device.Owner.RemoveAsync(task, device);
        await device.Function.ResetAsync(task);
        await device.Owner.ScanAsync(task);
        return Errno.Ok;
    }
}

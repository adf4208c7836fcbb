namespace Apvirt.VfioPci.Pci;

/// <summary>A kind of PCI function that IBM Z machines have, as its configuration space and the firmware tell it.</summary>
/// <param name="Name">Name in descriptions of hosts.</param>
/// <param name="Vendor">Vendor id.</param>
/// <param name="Device">Device id.</param>
/// <param name="SubsystemVendor">Vendor id of the subsystem.</param>
/// <param name="SubsystemDevice">Device id of the subsystem.</param>
/// <param name="ClassCode">Class, subclass and programming interface, 24 bits.</param>
/// <param name="FunctionType">The firmware's type of the function (PFT).</param>
/// <param name="Driver">The host's own driver.</param>
public sealed record PciFunctionType(
    string Name, ushort Vendor, ushort Device, ushort SubsystemVendor, ushort SubsystemDevice, uint ClassCode, byte FunctionType, string Driver)
{
    /// <summary>The kinds, by name: RoCE and network adapters, NVMe disks, internal shared memory, and a graphics adapter that can be split up.</summary>
    public static IReadOnlyList<PciFunctionType> All { get; } =
    [
        new("roce", 0x15b3, 0x1016, 0x15b3, 0x0059, 0x020000, 0x0a, "mlx5_core"),
        new("nvme", 0x144d, 0xa808, 0x144d, 0xa801, 0x010802, 0x0b, "nvme"),
        new("ism", 0x1014, 0x04ed, 0x1014, 0x04ed, 0x000000, 0x05, "ism"),
        new("gpu", 0x8086, 0x3e92, 0x8086, 0x3e92, 0x030000, 0x00, "i915"),
    ];

    /// <summary>Finds a kind.</summary>
    /// <param name="name">Its name.</param>
    public static PciFunctionType? Find(string name) => All.FirstOrDefault(type => string.Equals(type.Name, name, StringComparison.Ordinal));

    /// <summary>What drivers match: vendor, device, subsystem and class.</summary>
    public string Modalias =>
        $"pci:v{(uint)Vendor:X8}d{(uint)Device:X8}sv{(uint)SubsystemVendor:X8}sd{(uint)SubsystemDevice:X8}bc{ClassCode >> 16:X2}sc{ClassCode >> 8 & 0xff:X2}i{ClassCode & 0xff:X2}";
}

/// <summary>A PCI function that is plugged into a machine.</summary>
/// <param name="Fid">Number of the function, 32 bits; unique in the machine.</param>
/// <param name="Type">What it is.</param>
public sealed record PciFunctionSetup(uint Fid, PciFunctionType Type)
{
    /// <summary>The most characters of <see cref="Utility"/>.</summary>
    public const int UtilityMax = 64;

    /// <summary>User-defined identifier, 1 to 65535; 0 for none. It is the PCI domain if every function has one of its own.</summary>
    public int Uid { get; init; }

    /// <summary>Physical channel that the adapter is in.</summary>
    public ushort Pchid { get; init; } = 0x100;

    /// <summary>Number of the virtual function; 0 for a physical one.</summary>
    public ushort Vfn { get; init; }

    /// <summary>The firmware's group of functions alike.</summary>
    public byte Pfgid { get; init; }

    /// <summary>Port of the adapter.</summary>
    public byte Port { get; init; } = 1;

    /// <summary>Four segments of the path inside the machine, the first in the highest byte.</summary>
    public uint InternalPath { get; init; }

    /// <summary>The utility string, at most 64 characters, which the firmware has for some functions; null for none.</summary>
    public string? Utility { get; init; }

    /// <summary>The most interrupts that it has.</summary>
    public int InterruptsMax { get; init; } = 256;

    /// <summary>Functions with the same name cannot be kept apart by the IOMMU; null if it can be.</summary>
    public string? IommuGroup { get; init; }

    /// <summary>Whether vfio-pci has it from the boot on, as <c>vfio-pci.ids</c> does.</summary>
    public bool IsForGuests { get; init; }
}

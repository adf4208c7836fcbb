using System.Globalization;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Vfio.Groups;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci.Pci;

/// <summary>A PCI function of the host in the tree: what the PCI bus and the firmware tell of it, and its driver.</summary>
public sealed class PciDevice : Device
{
    private static readonly DeviceLockClasses Classes = new("pci");

    private string? _driverOverride;

    internal PciDevice(PciBus bus, RootDevice bridge, string address, PciFunctionSetup setup, ZpciFunction function)
        : base(bus.Model, address, bridge, Classes)
    {
        Owner = bus;
        Setup = setup;
        Function = function;
        Add(new InternalPath(this));
    }

    /// <summary>The bus.</summary>
    public PciBus Owner { get; }

    /// <summary>What is plugged in.</summary>
    public PciFunctionSetup Setup { get; }

    /// <summary>The function as the firmware knows it; it outlives the device.</summary>
    public ZpciFunction Function { get; }

    /// <summary>The device's IOMMU group.</summary>
    public VfioGroup Group { get; internal set; } = null!;

    /// <summary>What vfio-pci has of it; null unless it is bound to that.</summary>
    public VfioPciDevice? Vfio { get; internal set; }

    /// <summary>Name of the only driver that may have it; null for any that matches. Replaced whole; its file takes no lock that removal holds (I29).</summary>
    public string? DriverOverride
    {
        get => Shared(ref _driverOverride, "driver_override", isWrite: false);
        internal set => Shared(ref _driverOverride, "driver_override", isWrite: true) = value;
    }

    /// <inheritdoc/>
    public override AttributeTable Attributes => PciAttributes.Table;

    /// <inheritdoc/>
    protected override void AddBusVariables(ICollection<KeyValuePair<string, string>> variables)
    {
        PciFunctionType type = Setup.Type;
        variables.Add(new("PCI_CLASS", type.ClassCode.ToString("X", CultureInfo.InvariantCulture)));
        variables.Add(new("PCI_ID", $"{type.Vendor:X4}:{type.Device:X4}"));
        variables.Add(new("PCI_SUBSYS_ID", $"{type.SubsystemVendor:X4}:{type.SubsystemDevice:X4}"));
        variables.Add(new("PCI_SLOT_NAME", Name));
        variables.Add(new("MODALIAS", type.Modalias));
    }

    // Where in the machine the function is reached: tells how far two functions are apart.
    private sealed class InternalPath(PciDevice device) : SysfsDirectory("pfip", device)
    {
        private static readonly AttributeTable Table = new(
            [.. Enumerable.Range(0, 4).Select(segment => new SysfsAttribute<InternalPath>(
                string.Create(CultureInfo.InvariantCulture, $"segment{segment}"), (path, text) => path.Show(segment, text)))]);

        public override AttributeTable Attributes => Table;

        private void Show(int segment, SysfsText text) => PciAttributes.AppendNumber(text, device.Setup.InternalPath >> (24 - 8 * segment) & 0xff, 2);
    }
}

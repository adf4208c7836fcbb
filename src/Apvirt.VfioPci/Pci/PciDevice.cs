using System.Globalization;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel.Sharing;
using Apvirt.Vfio.Groups;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci.Pci;

/// <summary>A PCI function of the host in the tree: what the PCI bus and the firmware tell of it, and its driver.</summary>
public sealed class PciDevice : Device
{
    private static readonly DeviceLockClasses Classes = new("pci");

    private Shared<string?> _driverOverride;
    private Shared<VfioPciDevice?> _vfio;

    internal PciDevice(PciBus bus, RootDevice bridge, string address, PciFunctionSetup setup, ZpciFunction function, Func<PciDevice, VfioGroup> groupOf)
        : base(bus.Model, address, bridge, Classes)
    {
        Owner = bus;
        Setup = setup;
        Function = function;
        _driverOverride = new(setup.IsForGuests ? VfioPciDriver.DriverName : null);
        Add(new InternalPath(this));
        Group = groupOf(this);
    }

    /// <summary>The bus.</summary>
    public PciBus Owner { get; }

    /// <summary>What is plugged in.</summary>
    public PciFunctionSetup Setup { get; }

    /// <summary>The function as the firmware knows it; it outlives the device.</summary>
    public ZpciFunction Function { get; }

    /// <summary>The device's IOMMU group.</summary>
    public VfioGroup Group { get; }

    /// <summary>What vfio-pci has of it; null unless it is bound to that.</summary>
    public VfioPciDevice? Vfio
    {
        get => _vfio.Read(Model.Runtime, this, PciFields.FunctionData);
        internal set => _vfio.Write(Model.Runtime, this, PciFields.FunctionData, value);
    }

    /// <summary>Name of the only driver that may have it; null for any that matches. Replaced whole; its file takes no lock that removal holds (I29).</summary>
    public string? DriverOverride
    {
        get => _driverOverride.Read(Model.Runtime, this, PciFields.DriverOverride);
        internal set => _driverOverride.Write(Model.Runtime, this, PciFields.DriverOverride, value);
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
    private sealed class InternalPath : SysfsDirectory
    {
        private static readonly AttributeTable Table = new(
            [.. Enumerable.Range(0, 4).Select(segment => new SysfsAttribute<InternalPath>(
                string.Create(CultureInfo.InvariantCulture, $"segment{segment}"), (path, text) => path.Show(segment, text)))]);

        private readonly uint _path;

        internal InternalPath(PciDevice device) : base("pfip", device) => _path = device.Setup.InternalPath;

        public override AttributeTable Attributes => Table;

        private void Show(int segment, SysfsText text) => PciAttributes.AppendNumber(text, _path >> (24 - 8 * segment) & 0xff, 2);
    }
}

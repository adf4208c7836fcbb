using System.Globalization;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;

namespace Apvirt.Vfio.Devices;

/// <summary>The group of one device and its files below <c>/sys/kernel/iommu_groups</c> (sysfs.md §7).</summary>
public sealed class VfioGroup : SysfsDirectory
{
    private static readonly AttributeTable Table = new(
    [
        new SysfsAttribute<VfioGroup>("name", (_, text) => text.Append("vfio-noiommu\n"u8)),
        new SysfsAttribute<VfioGroup>("reserved_regions", (_, _) => { }),
        new SysfsAttribute<VfioGroup>("type", (_, text) => text.Append("unknown\n"u8), SysfsMode.ReadWrite),
    ]);

    private int _isOpen;

    internal VfioGroup(SysfsDirectory parent, int number, Device device)
        : base(number.ToString(CultureInfo.InvariantCulture), parent)
    {
        Number = number;
        AddDirectory("devices").AddLink(device.Name, device);
    }

    /// <summary>Number of the group: /dev/vfio/N.</summary>
    public int Number { get; }

    /// <inheritdoc/>
    public override AttributeTable Attributes => Table;

    /// <summary>Opens the group file; there is at most one (vfio.md §3).</summary>
    /// <returns>EBUSY if it is open.</returns>
    public Errno Open() => Interlocked.Exchange(ref _isOpen, 1) == 0 ? Errno.Ok : Errno.EBUSY;

    /// <summary>Closes the group file.</summary>
    public void Close() => Volatile.Write(ref _isOpen, 0);
}

/// <summary>The groups of a machine; the smallest free number is given out.</summary>
public sealed class VfioGroups
{
    private readonly SysfsDirectory _directory;

    // Guards _returned and _next; a leaf.
    private readonly Lock _gate = new();
    private readonly SortedSet<int> _returned = [];
    private int _next;

    /// <summary>Makes an empty set and its directory.</summary>
    /// <param name="tree">The machine's tree.</param>
    public VfioGroups(SysfsTree tree) => _directory = tree.Kernel.AddDirectory("iommu_groups");

    /// <summary>Makes the group of a device, with the links between both.</summary>
    /// <param name="device">The device.</param>
    public VfioGroup Create(Device device)
    {
        int number;
        lock (_gate)
        {
            number = _returned.Count > 0 ? _returned.Min : _next++;
            _returned.Remove(number);
        }
        VfioGroup group = new(_directory, number, device);
        _directory.Add(group);
        device.AddLink("iommu_group", group);
        return group;
    }

    /// <summary>Removes the group of a device.</summary>
    /// <param name="group">The group.</param>
    /// <param name="device">The device.</param>
    public void Remove(VfioGroup group, Device device)
    {
        device.Remove("iommu_group");
        _directory.Remove(group.Name);
        lock (_gate)
            _returned.Add(group.Number);
    }
}

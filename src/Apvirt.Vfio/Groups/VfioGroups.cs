using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;

namespace Apvirt.Vfio.Groups;

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
    /// <param name="behaviour">What is done otherwise than it should be.</param>
    public VfioGroups(SysfsTree tree, VfioBehaviour? behaviour = null)
    {
        _directory = tree.Kernel.AddDirectory("iommu_groups");
        Behaviour = behaviour ?? new VfioBehaviour();
    }

    /// <summary>What is done otherwise than it should be.</summary>
    public VfioBehaviour Behaviour { get; }

    /// <summary>Makes the group of a device, with the links between both.</summary>
    /// <param name="device">The device.</param>
    /// <param name="kind">What stands behind it.</param>
    public VfioGroup Create(Device device, GroupKind kind = GroupKind.Emulated)
    {
        int number;
        lock (_gate)
        {
            number = _returned.Count > 0 ? _returned.Min : _next++;
            _returned.Remove(number);
        }
        VfioGroup group = new(_directory, number, device, kind, Behaviour);
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

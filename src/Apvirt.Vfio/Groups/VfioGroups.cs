using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;

namespace Apvirt.Vfio.Groups;

/// <summary>The groups of a machine; the smallest free number is given out.</summary>
public sealed class VfioGroups
{
    private readonly SysfsDirectory _directory;
    private readonly SmallestFree _numbers = new("group numbers");

    /// <summary>Makes an empty set and its directories.</summary>
    /// <param name="tree">The machine's tree.</param>
    /// <param name="profile">Whose quirks apply.</param>
    public VfioGroups(SysfsTree tree, Profile? profile = null)
    {
        _directory = tree.Kernel.AddDirectory("iommu_groups");
        Nodes = new VfioNodes(tree);
        Profile = profile ?? Profile.Strict;
    }

    /// <summary>Whose quirks apply.</summary>
    public Profile Profile { get; }

    /// <summary>The device nodes of the groups and their devices.</summary>
    internal VfioNodes Nodes { get; }

    /// <summary>Makes the group of a device, with the links between both.</summary>
    /// <param name="device">The device.</param>
    /// <param name="kind">What stands behind it.</param>
    public VfioGroup Create(Device device, GroupKind kind = GroupKind.Emulated)
    {
        VfioGroup group = new(_directory, _numbers.Take(device.Model.Runtime), device.Model, kind, this);
        _directory.Add(group);
        Link(group, device);
        return group;
    }

    /// <summary>Puts one more device into a group: the hardware cannot keep their DMA apart.</summary>
    /// <param name="group">The group.</param>
    /// <param name="device">The device.</param>
    public static void Join(VfioGroup group, Device device)
    {
        if (!group.TryJoin())
            throw new InvalidOperationException($"{device.Name} joins group {group.Number}, which is gone");
        Link(group, device);
    }

    private static void Link(VfioGroup group, Device device)
    {
        group.Members.AddLink(device.Name, device);
        device.AddLink("iommu_group", group);
    }

    /// <summary>Takes a device from its group, and with the last one the group.</summary>
    /// <param name="group">The group.</param>
    /// <param name="device">The device.</param>
    /// <returns>Whether the group is gone.</returns>
    public bool Remove(VfioGroup group, Device device)
    {
        device.Remove("iommu_group");
        group.Members.Remove(device.Name);
        if (!group.Leave())
            return false;
        _directory.Remove(group.Name);
        _numbers.Return(device.Model.Runtime, group.Number);
        return true;
    }
}

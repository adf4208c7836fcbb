using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;

namespace Apvirt.Host.Checks.Invariants;

/// <summary>I17: while a device is open its VM does not change.</summary>
internal sealed class ImmutableKvm() : Invariant("I17", "an open device keeps its VM", CheckPoint.Step)
{
    private readonly Dictionary<VfioDevice, VirtualMachine?> _seen = [];

    public override IReadOnlyList<string> DependsOn => ["device.open_count, device.kvm"];

    public override void Check(InvariantContext context)
    {
        foreach (VfioDevice device in context.Host.VfioDevices)
        {
            if (device.OpenCount == 0)
            {
                _seen.Remove(device);
                continue;
            }
            if (_seen.TryGetValue(device, out VirtualMachine? before) && before != device.Kvm)
                context.Report($"{device.Name} is open and its VM has changed from {before?.Name ?? "none"} to {device.Kvm?.Name ?? "none"}");
            _seen[device] = device.Kvm;
        }
    }
}

/// <summary>I31: outside dev_set->lock the driver has a device open if and only if somebody has.</summary>
internal sealed class DriverOpens() : Invariant("I31", "the driver has a device open if and only if somebody has", CheckPoint.Step)
{
    public override IReadOnlyList<string> DependsOn => ["device.open_count, device.kvm"];

    public override void Check(InvariantContext context)
    {
        foreach (VfioDevice device in context.Host.VfioDevices.Where(device => context.IsStill(device.IsChanging)))
        {
            if (device.DriverOpens != (device.OpenCount > 0 ? 1 : 0))
                context.ReportUnpredicted($"{device.Name} has {device.OpenCount} open files, and its driver has been asked {device.DriverOpens} times more to open than to close");
        }
    }
}

/// <summary>M100: a device that was opened through its group keeps the group's file.</summary>
internal sealed class GroupFileKept() : Invariant("M100", "an open device keeps the file of its group", CheckPoint.Step)
{
    public override IReadOnlyList<string> DependsOn => ["group.container, container_users, iommufd, opened_file, cdev_device_open_cnt", "device.open_count, device.kvm"];

    public override void Check(InvariantContext context)
    {
        foreach (VfioDevice device in context.Host.VfioDevices.Where(device => context.IsStill(device.IsChanging || device.Group.IsChanging)))
        {
            if (device.OpenCount > 0 && device.Group.DirectOpens == 0 && !device.Group.IsOpen)
                context.Report($"{device.Name} is open and the file of group {device.Group.Number} is not");
        }
    }
}

/// <summary>I32, I33: a group is open or its devices are bound directly, and has users of its container if and only if it has one.</summary>
internal sealed class GroupUse() : Invariant("I32", "the group's file and direct use exclude each other; I33: a container has users", CheckPoint.Step)
{
    public override IReadOnlyList<string> DependsOn => ["group.container, container_users, iommufd, opened_file, cdev_device_open_cnt"];

    public override void Check(InvariantContext context)
    {
        foreach (VfioGroup group in context.Host.VfioDevices.Select(device => device.Group).Where(group => context.IsStill(group.IsChanging)))
        {
            if (group.IsOpen && group.DirectOpens > 0)
                context.ReportUnpredicted($"the file of group {group.Number} is open and {group.DirectOpens} devices of it are in direct use");
            if ((group.Container is not null) != (group.ContainerUsers > 0))
                context.ReportUnpredicted($"I33: group {group.Number} has {(group.Container is null ? "no" : "a")} container and {group.ContainerUsers} users of it");
        }
    }
}

using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Kvm;
using Apvirt.Vfio.Mdev;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio;

/// <summary>The guard table of this layer (locking.md §2).</summary>
public static class VfioGuards
{
    /// <summary>Number of open files of a device, the VM captured at the first open, and what that open took.</summary>
    internal static GuardRule<VfioDevice> Opens { get; } = new(
        "device.open_count, device.kvm",
        write: [new(VfioDeviceSet.SetClass, device => device.SetLock)],
        exceptions: "device.kvm by whoever knows that the device is open");

    /// <summary>Pinned guest pages.</summary>
    internal static GuardRule<PinnedPages> Pins { get; } = new(
        "pins",
        write: [new(Type1Iommu.IommuClass, pages => pages.Lock)],
        exceptions: "with an iommufd it is access.ioas_lock");

    /// <summary>The mappings of a container.</summary>
    internal static GuardRule<Type1Iommu> Mappings { get; } = new(
        "mappings",
        write: [new(Type1Iommu.IommuClass, iommu => iommu.Lock)]);

    /// <summary>Who is told of unmaps.</summary>
    internal static GuardRule<Type1Iommu> Listeners { get; } = new(
        "unmap listeners",
        write: [new(Type1Iommu.IommuClass, iommu => iommu.Lock), new(Type1Iommu.ListClass, iommu => iommu.ListLock)]);

    /// <summary>Groups and driver of a container.</summary>
    internal static GuardRule<VfioContainer> Container { get; } = new(
        "container.groups, container.iommu_driver",
        write: [new(VfioContainer.ContainerClass, container => container.Lock)],
        read: [new(VfioContainer.ContainerClass, container => container.Lock, mode: LockMode.Read)]);

    /// <summary>What a group is used for.</summary>
    internal static GuardRule<VfioGroup> Group { get; } = new(
        "group.container, container_users, iommufd, opened_file, cdev_device_open_cnt",
        write: [new(VfioGroup.GroupClass, group => group.Lock)]);

    /// <summary>How many devices of a group VFIO has, and the group's node, which is there while it has any.</summary>
    internal static GuardRule<VfioGroup> GroupDrivers { get; } = new(
        "group.drivers",
        write: [new(VfioGroup.GroupClass, group => group.Lock)]);

    /// <summary>The devices of a group.</summary>
    internal static GuardRule<VfioGroup> GroupDevices { get; } = new(
        "group.device_list",
        write: [new(VfioGroup.ListClass, group => group.ListLock)]);

    /// <summary>The VM of a group.</summary>
    internal static GuardRule<VfioGroup> GroupKvm { get; } = new(
        "group.kvm",
        write: [new(VfioGroup.ReferenceClass, group => group.ReferenceLock)]);

    /// <summary>The VM of a device's own file.</summary>
    internal static GuardRule<VfioDeviceFile> FileKvm { get; } = new(
        "df.kvm",
        write: [new(VfioGroup.ReferenceClass, file => file.ReferenceLock)]);

    /// <summary>The files of a VM's VFIO device.</summary>
    internal static GuardRule<KvmVfioDevice> KvmFiles { get; } = new(
        "kvm-vfio files",
        write: [new(KvmVfioDevice.KvClass, device => device.Lock)]);

    /// <summary>The areas of an address space, and who uses it.</summary>
    internal static GuardRule<Ioas> Areas { get; } = new(
        "ioas areas",
        write: [new(Ioas.IovaClass, space => space.Lock)],
        read: [new(Ioas.IovaClass, space => space.Lock, mode: LockMode.Read)]);

    /// <summary>The address space of a device.</summary>
    internal static GuardRule<IoasAccess> Access { get; } = new(
        "access.ioas",
        write: [new(IoasAccess.AccessClass, access => access.Lock)],
        exceptions: "who holds dev_set->lock may look, because it changes under that only");

    /// <summary>The names of mdevs, and which of them are active.</summary>
    internal static GuardRule<MdevBus> MdevNames { get; } = new(
        "mdev names",
        write: [new(MdevBus.ListClass, bus => bus.ListLock)]);

    /// <summary>How many more mdevs a parent can have.</summary>
    internal static GuardRule<MdevParent> MdevInstances { get; } = new(
        "parent.available_instances",
        write: [new(MdevBus.ListClass, parent => parent.Bus.ListLock)],
        exceptions: "available_instances is shown without");

    /// <summary>All rules of the layer.</summary>
    public static IReadOnlyList<GuardRule> All { get; } =
        [Opens, Pins, Mappings, Listeners, Container, Group, GroupDrivers, GroupDevices, GroupKvm, FileKvm, KvmFiles, Areas, Access, MdevNames, MdevInstances];
}

using Apvirt.Kernel.Sharing;

namespace Apvirt.Vfio;

/// <summary>The fields of this layer that no lock guards, and why none need do so (locking.md §2).</summary>
public static class VfioFields
{
    /// <summary>Who holds a device against being unregistered.</summary>
    internal static SharedField Registrations { get; } = new("device.refcount", "it is a reference count: nobody gets one once the last was given back");

    /// <summary>Whether a device can be opened.</summary>
    internal static SharedField Offered { get; } = new("device.is_offered", "it goes once; who has looked before still needs a reference to the device");

    /// <summary>A device's node.</summary>
    internal static SharedField Node { get; } = new("device.node", "it comes before the device can be found and goes when nobody finds it any more");

    /// <summary>Which steps of the next open fail.</summary>
    internal static SharedField Faults { get; } = new("device.faults", "each is taken by the one open that it makes fail");

    /// <summary>The devices of a set.</summary>
    internal static SharedField SetDevices { get; } = new("dev_set.device_list", "who looks at a set copies the list in one step");

    /// <summary>Whether a device can be used through a file.</summary>
    internal static SharedField Granted { get; } = new("df.access_granted", "it is published by whoever has bound the file, and every call looks at it once");

    /// <summary>Whether a file keeps its device's group from being opened.</summary>
    internal static SharedField CountsAsDirect { get; } = new("df.cdev_opened", "it is set by the one bind that succeeds and taken by whoever closes the file");

    /// <summary>Where the pages of an open device are pinned.</summary>
    internal static SharedField PinSpace { get; } = new("device.space", "it changes at the first open and the last close; who uses it knows that the device is open");

    /// <summary>How many devices are in a group, whatever driver they have.</summary>
    internal static SharedField Members { get; } = new("iommu_group.devices", "it is a reference count: the group goes with the last");

    /// <summary>Whether an IOMMU keeps caches coherent.</summary>
    internal static SharedField Coherent { get; } = new("iommu_group.is_coherent", "it is a property of the hardware, read once when a device is registered");

    /// <summary>Numbers of groups and of devices.</summary>
    internal static SharedField Numbers { get; } = new("vfio numbers", "a number is taken and given back in one step");

    /// <summary>Whose the DMA of a group is.</summary>
    internal static SharedField Dma { get; } = new("iommu_group.owner, owner_cnt", "it is looked at and changed in one step, and no device is called meanwhile");

    /// <summary>The address spaces of an iommufd.</summary>
    internal static SharedField Spaces { get; } = new("iommufd.objects", "a number is taken and given to a space in one step");

    /// <summary>What is in the memory of a process.</summary>
    internal static SharedField UserPages { get; } = new("process memory", "it is ordinary memory; each copy is one step");

    /// <summary>How often an eventfd was signalled.</summary>
    internal static SharedField Signals { get; } = new("eventfd.count", "it is only ever counted up");

    /// <summary>Whether an mdev's <c>remove</c> has gone.</summary>
    internal static SharedField RemoveGone { get; } = new("mdev.remove", "the first who takes it away removes the device");

    /// <summary>Who uses the module of a driver.</summary>
    internal static SharedField Module { get; } = new("module.refcnt", "it is a reference count: nobody gets one once the module goes");

    /// <summary>All such fields of the layer.</summary>
    public static IReadOnlyList<SharedField> All { get; } =
    [
        Registrations, Offered, Node, Faults, SetDevices, Granted, CountsAsDirect, PinSpace, Members, Coherent, Numbers, Dma, Spaces, UserPages, Signals, RemoveGone, Module,
    ];
}

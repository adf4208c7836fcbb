namespace Apvirt.Vfio.Devices;

/// <summary>A step of opening a device that can be made to fail (vfio.md §4, §5, M098).</summary>
public enum VfioOpenStep
{
    /// <summary>Using the container, or binding to the iommufd.</summary>
    UseIommu,
    /// <summary>Asking to be told of unmaps; with a container only.</summary>
    AddListener,
    /// <summary>The driver opens the device.</summary>
    OpenDevice,
    /// <summary>Attaching to the address space of a group that uses an iommufd.</summary>
    AttachSpace,
    /// <summary>Telling user space the number of a bound device.</summary>
    TellUser,
    /// <summary>Telling user space the number of the address space that a bound device was attached to.</summary>
    TellSpace,
}

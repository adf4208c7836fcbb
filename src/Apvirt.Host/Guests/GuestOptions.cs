using Apvirt.Kvm.Machines;

namespace Apvirt.Host.Guests;

/// <summary>How a guest is started with a mediated device.</summary>
public sealed record GuestOptions
{
    /// <summary>Whether user space registers the device-request eventfd and closes the device when it is signalled, as QEMU does.</summary>
    public bool RegistersRequest { get; init; } = true;

    /// <summary>Whether the VM is associated with the device's group; without, the open fails.</summary>
    public bool AssociatesKvm { get; init; } = true;

    /// <summary>Whether the groups use an iommufd instead of a container.</summary>
    public bool UsesIommufd { get; init; }

    /// <summary>What the VM is made with, if the guest is new.</summary>
    public VirtualMachineOptions Machine { get; init; } = new();
}

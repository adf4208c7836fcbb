using Apvirt.Ap;
using Apvirt.Devices;
using Apvirt.Host.Guests;
using Apvirt.Kernel.Sharing;
using Apvirt.Kvm;
using Apvirt.Vfio;
using Apvirt.VfioAp;
using Apvirt.VfioPci;

namespace Apvirt.Host.Checks;

/// <summary>All fields of a host that no lock guards, layer by layer; docs/locking.md is generated from it.</summary>
public static class FieldTable
{
    /// <summary>The fields.</summary>
    public static IReadOnlyList<SharedField> All { get; } =
        [.. KernelFields.All, .. DeviceFields.All, .. ApFields.All, .. KvmFields.All, .. VfioFields.All, .. VfioApFields.All, .. PciFields.All, .. GuestFields.All];
}

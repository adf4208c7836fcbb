using Apvirt.Kernel.Sharing;

namespace Apvirt.VfioAp;

/// <summary>The fields of this layer that no lock guards, and why none need do so (locking.md §2).</summary>
public static class VfioApFields
{
    /// <summary>The device that VFIO has for an mdev.</summary>
    internal static SharedField Vfio { get; } = new("mdev.vdev", "it is written once, by the driver's probe, and stays");

    /// <summary>The highest adapter that can be assigned to an mdev.</summary>
    internal static SharedField MaxAdapter { get; } = new("mdev.matrix.apm_max", "it is written once, before the mdev is on the list and has files");

    /// <summary>The highest domain that can be assigned to an mdev.</summary>
    internal static SharedField MaxDomain { get; } = new("mdev.matrix.aqm_max, adm_max", "it is written once, before the mdev is on the list and has files");

    /// <summary>All such fields of the layer.</summary>
    public static IReadOnlyList<SharedField> All { get; } = [Vfio, MaxAdapter, MaxDomain];
}

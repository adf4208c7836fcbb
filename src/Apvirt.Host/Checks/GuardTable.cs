using Apvirt.Ap;
using Apvirt.Devices;
using Apvirt.Kernel.Checking;
using Apvirt.Kvm;
using Apvirt.Vfio;
using Apvirt.VfioAp;

namespace Apvirt.Host.Checks;

/// <summary>The guard table of a whole host: what each layer declares for its fields, in one list (locking.md §2).</summary>
public static class GuardTable
{
    /// <summary>All rules.</summary>
    public static IReadOnlyList<GuardRule> All { get; } =
        [.. VfioApGuards.All, .. KvmGuards.All, .. VfioGuards.All, .. ApGuards.All, .. DeviceGuards.All];
}

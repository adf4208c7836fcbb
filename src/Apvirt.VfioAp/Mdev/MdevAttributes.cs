using Apvirt.Devices.Sysfs;

namespace Apvirt.VfioAp.Mdev;

/// <summary>The files of an mdev (sysfs.md §5).</summary>
internal static class MdevAttributes
{
    internal static AttributeTable Table { get; } = new(
    [
        new SysfsAttribute<MatrixMdev>("ap_config", SysfsMode.ReadWrite, (t, m, x) => m.ShowConfigAsync(t, x), (t, m, x) => m.StoreConfigAsync(t, x)),
        new SysfsAttribute<MatrixMdev>("assign_adapter", SysfsMode.WriteOnly, store: (t, m, x) => m.AssignAdapterAsync(t, x)),
        new SysfsAttribute<MatrixMdev>("assign_control_domain", SysfsMode.WriteOnly, store: (t, m, x) => m.AssignControlDomainAsync(t, x)),
        new SysfsAttribute<MatrixMdev>("assign_domain", SysfsMode.WriteOnly, store: (t, m, x) => m.AssignDomainAsync(t, x)),
        new SysfsAttribute<MatrixMdev>("control_domains", SysfsMode.ReadOnly, (t, m, x) => m.ShowControlDomainsAsync(t, x)),
        new SysfsAttribute<MatrixMdev>("guest_matrix", SysfsMode.ReadOnly, (t, m, x) => m.ShowGuestMatrixAsync(t, x)),
        new SysfsAttribute<MatrixMdev>("matrix", SysfsMode.ReadOnly, (t, m, x) => m.ShowMatrixAsync(t, x)),
        new SysfsAttribute<MatrixMdev>("unassign_adapter", SysfsMode.WriteOnly, store: (t, m, x) => m.UnassignAdapterAsync(t, x)),
        new SysfsAttribute<MatrixMdev>("unassign_control_domain", SysfsMode.WriteOnly, store: (t, m, x) => m.UnassignControlDomainAsync(t, x)),
        new SysfsAttribute<MatrixMdev>("unassign_domain", SysfsMode.WriteOnly, store: (t, m, x) => m.UnassignDomainAsync(t, x)),
    ]);
}

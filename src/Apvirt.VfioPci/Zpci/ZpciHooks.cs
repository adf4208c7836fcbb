namespace Apvirt.VfioPci.Zpci;

/// <summary>What there is of the hooks by which vfio-pci associates functions with VMs (zpci.md §3).</summary>
public enum ZpciHooks
{
    /// <summary>KVM has registered them.</summary>
    Present,
    /// <summary>KVM could not turn forwarding on, so there are none: who opens a function for a VM is told ENOENT.</summary>
    Absent,
    /// <summary>The kernel is built without them: functions are opened and closed without an association (M112).</summary>
    NotBuilt,
}

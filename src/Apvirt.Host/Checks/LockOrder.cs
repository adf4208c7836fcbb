using Apvirt.Kernel.Validation;

namespace Apvirt.Host.Checks;

/// <summary>The declared order of all lock classes of a host, as data (locking.md §3).</summary>
public static class LockOrder
{
    /// <summary>The order.</summary>
    public static DeclaredOrder Declared { get; } = new(
        [
            new("guest processes", "dev_set->lock", "user space opens and closes devices"),
            new("guest processes", "last close", "user space opens and closes devices"),
            new("ap_scan_mutex", "device_lock(apq)", "a scan adds and removes queues"),
            new("ap_scan_mutex", "device_lock(card)", "a scan adds and removes cards"),
            new("ap_scan_mutex", "guests_lock", "configuration changed, scan complete"),
            new("device_lock(apq)", "ap_perms_mutex", "the probe asks for the reservation"),
            new("device_lock(apq)", "kn_active(apq)", "removal of a queue"),
            new("device_lock(apq)", "kn_active(apq driver)", "remove deletes the status file, before guests_lock"),
            new("device_lock(apq)", "guests_lock", "probe and remove"),
            new("device_lock(card)", "kn_active(card)", "removal of a card"),
            new("kn_active(driver)", "device_lock(apq)", "bind, unbind"),
            new("kn_active(bus)", "ap_perms_mutex", "apmask, aqmask"),
            new("kn_active(bus)", "device_lock(apq)", "a mask store revises bindings"),
            new("kn_active(apq driver)", "guests_lock", "status"),
            new("kn_active(mdev driver)", "ap_perms_mutex", "assign_adapter, assign_domain, ap_config"),
            new("kn_active(mdev driver)", "guests_lock", "unassign_adapter and the like"),
            new("kn_active(mdev driver)", "mdevs_lock", "matrix and the like"),
            new("kn_active(mdev type)", "mdev_list_lock", "create"),
            new("kn_active(mdev type)", "unreg_sem", "create"),
            new("unreg_sem", "device_lock(mdev)", "create, remove"),
            new("device_lock(mdev)", "kn_active(mdev)", "remove"),
            new("device_lock(mdev)", "kn_active(mdev driver)", "remove"),
            new("device_lock(mdev)", "last close", "remove waits until user space lets go"),
            new("device_lock(mdev)", "guests_lock", "create, remove"),
            new("last close", "dev_set->lock", "open, close"),
            new("dev_set->lock", "guests_lock", "open, close"),
            new("dev_set->lock", "iommu->lock", "open, close: the container"),
            new("ap_perms_mutex", "guests_lock", "assign, ap_config, in_use"),
            new("guests_lock", "kvm->lock", "every change of what a guest has"),
            new("kvm->lock", "pqap_hook_rwsem", "open, close"),
            new("kvm->lock", "vcpu->mutex", "secure execution"),
            new("kvm->lock", "slots_lock", "secure execution lays out the guest's memory"),
            new("kvm->lock", "gisa ref_lock", "secure execution takes the GISA and gives it back"),
            new("guest processes", "kvm->lock", "user space makes a guest secure"),
            new("kvm->lock", "mdevs_lock", "every change of what a guest has"),
            new("vcpu->mutex", "pqap_hook_rwsem", "AQIC"),
            new("pqap_hook_rwsem", "mdevs_lock", "AQIC, open, close"),
            new("mdevs_lock", "reset work", "a reset is waited for; the work takes none of these locks"),
            new("mdevs_lock", "iommu->lock", "pin, unpin"),
            new("mdevs_lock", "gisa ref_lock", "guest subclasses are registered"),
            new("reset work", "iommu->lock", "a reset frees the notification byte"),
            new("reset work", "gisa ref_lock", "a reset frees the guest subclass"),
        ],
        [
            new("mdevs_lock", "kvm->lock", "M031"),
            new("mdevs_lock", "guests_lock", "M033"),
            new("kvm->lock", "guests_lock", "M050"),
            new("vcpu->mutex", "kvm->lock", "M034"),
            new("vcpu->mutex", "guests_lock", "M054"),
            new("guests_lock", "ap_perms_mutex", "M022, M026"),
            new("kvm->lock", "dev_set->lock", "locking.md §5, VFIO-side history"),
            new("mdevs_lock", "pqap_hook_rwsem", "M069"),
        ]);
}

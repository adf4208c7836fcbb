using Apvirt.Kernel.Locking;

namespace Apvirt.Designs;

/// <summary>The classes of the locks that designs have, by the names that they had in their time.</summary>
internal static class Locks
{
    internal static LockClass Matrix { get; } = new("matrix_dev->lock", LockKind.Mutex);

    internal static LockClass Guests { get; } = new("guests_lock", LockKind.Mutex);

    internal static LockClass Mdevs { get; } = new("mdevs_lock", LockKind.Mutex);

    internal static LockClass Perms { get; } = new("ap_perms_mutex", LockKind.Mutex);

    internal static LockClass Kvm { get; } = new("kvm->lock", LockKind.Mutex);

    internal static LockClass Vcpu { get; } = new("vcpu->mutex", LockKind.Mutex);

    internal static LockClass Group { get; } = new("group_lock", LockKind.Mutex);

    internal static LockClass GroupSemaphore { get; } = new("group_rwsem", LockKind.RwSemaphore);

    internal static LockClass Chain { get; } = new("notifier chain rwsem", LockKind.RwSemaphore);

    internal static LockClass GroupReference { get; } = new("kvm_ref_lock", LockKind.Mutex);

    internal static LockClass DeviceSet { get; } = new("dev_set->lock", LockKind.Mutex);

    internal static LockClass Released { get; } = new("released", LockKind.Mutex);
}

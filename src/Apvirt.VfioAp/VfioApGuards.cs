using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kvm.Machines;
using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Mdev;
using Apvirt.VfioAp.Queues;

namespace Apvirt.VfioAp;

/// <summary>The guard table of this layer (locking.md §2).</summary>
public static class VfioApGuards
{
    private const string IfAttached = "if a VM is attached";

    /// <summary>Adding to the list of mdevs, and walking it.</summary>
    internal static GuardRule<MatrixDevice> Mdevs { get; } = new(
        "mdev_list",
        write: [new(MatrixDevice.GuestsClass, matrix => matrix.GuestsLock)],
        exceptions: "deleting needs mdevs_lock too");

    /// <summary>Deleting from the list of mdevs.</summary>
    internal static GuardRule<MatrixDevice> MdevRemoval { get; } = new(
        "mdev_list (delete)",
        write: [new(MatrixDevice.GuestsClass, matrix => matrix.GuestsLock), new(MatrixDevice.MdevsClass, matrix => matrix.MdevsLock)]);

    /// <summary>The host's configuration.</summary>
    internal static GuardRule<MatrixDevice> Info { get; } = new(
        "matrix_dev.info",
        write: [new(MatrixDevice.GuestsClass, matrix => matrix.GuestsLock)],
        exceptions: "6.12: the initialisation of an mdev (F10)");

    /// <summary>The adapters of which the driver has queues.</summary>
    internal static GuardRule<MatrixDevice> Adapters { get; } = new(
        "matrix_dev adapters",
        write: [new(MatrixDevice.GuestsClass, matrix => matrix.GuestsLock), new(MatrixDevice.MdevsClass, matrix => matrix.MdevsLock)]);

    /// <summary>The attached VM.</summary>
    internal static GuardRule<MatrixMdev> Kvm { get; } = new(
        "mdev.kvm",
        write:
        [
            Guests(),
            new(VirtualMachine.KvmClass, mdev => mdev.Vfio.Kvm?.Lock, "of the VM"),
            new(VirtualMachine.HookClass, mdev => mdev.Vfio.Kvm?.HookLock, "of the VM"),
            MdevsLock(),
        ],
        read: [Guests(), MdevsLock()],
        exceptions: "closing samples it under dev_set->lock, because only open and close change it");

    /// <summary>What user space assigned.</summary>
    internal static GuardRule<MatrixMdev> Matrix { get; } = new(
        "mdev.matrix",
        write: [Guests(), KvmLock(), MdevsLock()],
        read: [Guests(), MdevsLock()],
        exceptions: "6.12: ap_config is shown unlocked (F08)");

    /// <summary>What the guest has or would have.</summary>
    internal static GuardRule<MatrixMdev> Shadow { get; } = new(
        "mdev.shadow",
        write: [Guests(), KvmLock(), MdevsLock()],
        read: [MdevsLock()]);

    /// <summary>Which queues are linked.</summary>
    internal static GuardRule<MatrixMdev> Links { get; } = new(
        "mdev.qtable",
        write: [Guests(), MdevsLock()],
        read: [MdevsLock()],
        exceptions: "close and RESET walk it under mdevs_lock only");

    /// <summary>What a scan will add.</summary>
    internal static GuardRule<MatrixMdev> Additions { get; } = new(
        "mdev.apm_add, aqm_add, adm_add",
        write: [Guests(), MdevsLock()],
        readsNeedAll: true);

    /// <summary>The device-request eventfd.</summary>
    internal static GuardRule<MatrixMdev> RequestTrigger { get; } = new(
        "mdev.req_trigger",
        write: [MdevsLock()],
        exceptions: "6.12: the request callback reads it unlocked (F09)");

    /// <summary>The mdev that a queue points to.</summary>
    internal static GuardRule<VfioApQueue> Back { get; } = new(
        "queue.mdev",
        write: [new(MatrixDevice.GuestsClass, queue => queue.Matrix.GuestsLock), new(MatrixDevice.MdevsClass, queue => queue.Matrix.MdevsLock)]);

    /// <summary>What an armed interrupt ties up.</summary>
    internal static GuardRule<VfioApQueue> Interrupt { get; } = new(
        "queue.saved_iova, saved_isc",
        write: [new(MatrixDevice.MdevsClass, queue => queue.Matrix.MdevsLock)],
        exceptions: "reset work on behalf of a flusher that holds mdevs_lock");

    /// <summary>Response code of the last reset.</summary>
    internal static GuardRule<VfioApQueue> ResetStatus { get; } = new(
        "queue.reset_status",
        write: [new(MatrixDevice.MdevsClass, queue => queue.Matrix.MdevsLock)],
        exceptions: "reset work on behalf of a flusher that holds mdevs_lock");

    /// <summary>Which domains of an adapter have a queue that can be given to a guest.</summary>
    internal static GuardRule<QueueRow> Passable { get; } = new(
        "matrix_dev passable queues",
        write: [new(MatrixDevice.MdevsClass, row => row.Matrix.MdevsLock)],
        exceptions: "reset work on behalf of a flusher that holds mdevs_lock");

    /// <summary>The queues of an adapter, and which of them point to an mdev.</summary>
    internal static GuardRule<QueueRow> Queues { get; } = new(
        "matrix_dev queues",
        write: [new(MatrixDevice.GuestsClass, row => row.Matrix.GuestsLock), new(MatrixDevice.MdevsClass, row => row.Matrix.MdevsLock)]);

    /// <summary>How many queues point to an mdev that they are not linked to.</summary>
    internal static GuardRule<MatrixMdev> StaleQueues { get; } = new(
        "mdev stale queues",
        write: [Guests(), MdevsLock()]);

    /// <summary>What a reset is about.</summary>
    internal static GuardRule<QueueResets> Resets { get; } = new(
        "reset list",
        write: [new(MatrixDevice.MdevsClass, resets => resets.Matrix.MdevsLock)],
        exceptions: "reset work on behalf of a flusher that holds mdevs_lock");

    /// <summary>All rules of the layer.</summary>
    public static IReadOnlyList<GuardRule> All { get; } =
        [Mdevs, MdevRemoval, Info, Adapters, Kvm, Matrix, Shadow, Links, Additions, RequestTrigger, Back, Interrupt, ResetStatus, Queues, Passable, StaleQueues, Resets];

    private static GuardRule<MatrixMdev>.Part Guests() => new(MatrixDevice.GuestsClass, mdev => mdev.Owner.GuestsLock);

    private static GuardRule<MatrixMdev>.Part MdevsLock() => new(MatrixDevice.MdevsClass, mdev => mdev.Owner.MdevsLock);

    private static GuardRule<MatrixMdev>.Part KvmLock() => new(VirtualMachine.KvmClass, mdev => mdev.Kvm?.Lock, IfAttached);
}

using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.VfioAp.Matrix;

/// <summary>
/// Proof that guests_lock, the attached VM's kvm->lock and mdevs_lock are held: what changes a guest's queues takes one.
/// Only <see cref="MatrixDevice"/> makes it, by acquiring them.
/// </summary>
internal readonly struct UpdateLocks
{
    private readonly MatrixDevice _matrix;
    private readonly KernelMutex? _kvmLock;

    internal UpdateLocks(MatrixDevice matrix, KernelTask task, KernelMutex? kvmLock)
    {
        _matrix = matrix;
        Task = task;
        _kvmLock = kvmLock;
    }

    /// <summary>Who holds them.</summary>
    internal KernelTask Task { get; }

    /// <summary>Releases all of them, innermost first.</summary>
    internal void Release()
    {
        ReleaseInner();
        _matrix.GuestsLock.Unlock(Task);
    }

    /// <summary>Releases all but guests_lock, for a walk over the mdevs.</summary>
    internal void ReleaseInner()
    {
        _matrix.MdevsLock.Unlock(Task);
        _kvmLock?.Unlock(Task);
    }
}

using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.VfioAp.Matrix;

/// <summary>Proof that mdevs_lock is held: what uses an mdev or a queue takes one. Only <see cref="MatrixDevice"/> makes it.</summary>
internal readonly struct MdevsHeld
{
    private readonly MatrixDevice _matrix;

    internal MdevsHeld(MatrixDevice matrix, KernelTask task)
    {
        _matrix = matrix;
        Task = task;
    }

    /// <summary>Who holds it.</summary>
    internal KernelTask Task { get; }

    /// <summary>Releases the lock.</summary>
    internal void Release() => _matrix.MdevsLock.Unlock(Task);
}

/// <summary>Proof that guests_lock is held: what looks for an mdev takes one. Only <see cref="MatrixDevice"/> makes it.</summary>
internal readonly struct GuestsHeld
{
    private readonly MatrixDevice _matrix;

    internal GuestsHeld(MatrixDevice matrix, KernelTask task)
    {
        _matrix = matrix;
        Task = task;
    }

    /// <summary>Who holds it.</summary>
    internal KernelTask Task { get; }

    /// <summary>Releases the lock.</summary>
    internal void Release() => _matrix.GuestsLock.Unlock(Task);
}

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
        _kvmLock = kvmLock;
        Task = task;
    }

    /// <summary>Who holds them.</summary>
    internal KernelTask Task { get; }

    /// <summary>That guests_lock is held.</summary>
    internal GuestsHeld Guests => new(_matrix, Task);

    /// <summary>That mdevs_lock is held.</summary>
    internal MdevsHeld Mdevs => new(_matrix, Task);

    /// <summary>Releases all of them, innermost first.</summary>
    internal void Release()
    {
        ReleaseInner();
        Guests.Release();
    }

    /// <summary>Releases all but guests_lock, for a walk over the mdevs.</summary>
    internal void ReleaseInner()
    {
        Mdevs.Release();
        _kvmLock?.Unlock(Task);
    }
}

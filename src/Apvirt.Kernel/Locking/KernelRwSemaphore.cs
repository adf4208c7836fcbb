using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Locking;

/// <summary>
/// A sleeping reader/writer lock, first come first served: a reader that comes after a waiting writer waits behind it,
/// so neither side starves. Uncontended use completes synchronously and allocates nothing.
/// </summary>
public sealed class KernelRwSemaphore : KernelLock
{
    private const int Written = -1;

    private readonly WaitQueue _waiters = new();

    // Guarded by the gate of _waiters: the number of readers, or Written.
    private int _holders;

    /// <summary>Makes a free lock of a class.</summary>
    /// <param name="lockClass">Its class.</param>
    public KernelRwSemaphore(LockClass lockClass) : base(lockClass)
    {
    }

    /// <summary>Acquires shared.</summary>
    /// <param name="task">The acquiring task.</param>
    public ValueTask LockReadAsync(KernelTask task) =>
        task.HasPoints ? LockAtPointAsync(task, LockMode.Read) : LockNowAsync(task, LockMode.Read);

    /// <summary>Acquires exclusively.</summary>
    /// <param name="task">The acquiring task.</param>
    public ValueTask LockWriteAsync(KernelTask task) =>
        task.HasPoints ? LockAtPointAsync(task, LockMode.Write) : LockNowAsync(task, LockMode.Write);

    /// <summary>Acquires shared if that is possible without sleeping.</summary>
    /// <param name="task">The acquiring task.</param>
    public bool TryLockRead(KernelTask task)
    {
        lock (_waiters.Gate)
            return TryTake(task, LockMode.Read);
    }

    /// <summary>Acquires exclusively if that is possible without sleeping.</summary>
    /// <param name="task">The acquiring task.</param>
    public bool TryLockWrite(KernelTask task)
    {
        lock (_waiters.Gate)
            return TryTake(task, LockMode.Write);
    }

    /// <summary>Releases a shared hold.</summary>
    /// <param name="task">The holder.</param>
    public void UnlockRead(KernelTask task)
    {
        task.Released(this);
        lock (_waiters.Gate)
        {
            if (_holders <= 0)
                throw new InvalidOperationException($"task '{task.Name}' releases {Class.Name}, which nobody reads");
            _holders--;
        }
        Admit();
    }

    /// <summary>Releases an exclusive hold.</summary>
    /// <param name="task">The holder.</param>
    public void UnlockWrite(KernelTask task)
    {
        task.Released(this);
        lock (_waiters.Gate)
        {
            if (_holders != Written)
                throw new InvalidOperationException($"task '{task.Name}' releases {Class.Name}, which nobody writes");
            _holders = 0;
        }
        Admit();
    }

    private async ValueTask LockAtPointAsync(KernelTask task, LockMode mode)
    {
        await task.Runtime.PointAsync(task);
        await LockNowAsync(task, mode);
    }

    private ValueTask LockNowAsync(KernelTask task, LockMode mode)
    {
        lock (_waiters.Gate)
        {
            if (TryTake(task, mode))
                return default;
            task.Waiter.Mode = mode;
            _ = _waiters.Join(task, interruptible: false);
            return task.Waiter.Pending;
        }
    }

    private bool TryTake(KernelTask task, LockMode mode)
    {
        if (!_waiters.IsEmpty || !Fits(mode))
            return false;
        Take(task, mode);
        return true;
    }

    private bool Fits(LockMode mode) => mode == LockMode.Read ? _holders >= 0 : _holders == 0;

    private void Take(KernelTask task, LockMode mode)
    {
        _holders = mode == LockMode.Read ? _holders + 1 : Written;
        task.Acquired(this, mode);
    }

    private void Admit()
    {
        while (true)
        {
            TaskWaiter? next;
            lock (_waiters.Gate)
            {
                next = _waiters.First;
                if (next is null || !Fits(next.Mode))
                    return;
                _waiters.Remove(next);
                Take(next.Task, next.Mode);
            }
            next.Wake(WaitResult.Done);
        }
    }
}

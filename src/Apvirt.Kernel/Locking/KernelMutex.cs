using System.Runtime.CompilerServices;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Locking;

/// <summary>
/// A sleeping mutex, first come first served: the lock is handed to the first waiter, nobody overtakes.
/// An uncontended acquire and release completes synchronously and allocates nothing (reference/runtime.md).
/// </summary>
public sealed class KernelMutex : KernelLock
{
    private const int Free = 0;
    private const int Taken = 1;
    private const int Contended = 2;

    private int _state;
    private KernelTask? _owner;
    private WaitQueue? _waiters;

    /// <summary>Makes a free mutex of a class.</summary>
    /// <param name="lockClass">Its class.</param>
    public KernelMutex(LockClass lockClass) : base(lockClass)
    {
    }

    /// <summary>The task that holds the mutex, null when it is free.</summary>
    public KernelTask? Owner => _owner;

    /// <summary>Acquires the mutex, sleeping until it is this task's turn.</summary>
    /// <param name="task">The acquiring task, which must not hold the mutex already.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ValueTask LockAsync(KernelTask task)
    {
        if (!task.HasPoints && TryTake(task))
            return default;
        return LockSlowAsync(task);
    }

    /// <summary>Acquires the mutex unless a signal ends the wait.</summary>
    /// <param name="task">The acquiring task.</param>
    /// <returns><see cref="Errno.EINTR"/> if a signal came first; the mutex is then not held.</returns>
    public async ValueTask<Errno> LockInterruptibleAsync(KernelTask task)
    {
        if (task.HasPoints)
            await task.Runtime.PointAsync(task);
        if (TryTake(task))
            return Errno.Ok;
        return await EnqueueAsync(task, interruptible: true) == WaitResult.Interrupted ? Errno.EINTR : Errno.Ok;
    }

    /// <summary>Acquires the mutex if that is possible without sleeping.</summary>
    /// <param name="task">The acquiring task.</param>
    /// <returns>Whether the mutex is now held by the task.</returns>
    public bool TryLock(KernelTask task) => TryTake(task);

    /// <summary>Releases the mutex and hands it to the first waiter.</summary>
    /// <param name="task">The holder.</param>
    /// <exception cref="InvalidOperationException">The task does not hold the mutex.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Unlock(KernelTask task)
    {
        if (!ReferenceEquals(_owner, task))
            ThrowNotOwner(task);
        task.Released(this);
        _owner = null;
        if (task.Serial)
        {
            if (_state == Taken)
            {
                _state = Free;
                return;
            }
        }
        else if (Interlocked.CompareExchange(ref _state, Free, Taken) == Taken)
        {
            return;
        }
        HandOver();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryTake(KernelTask task)
    {
        if (task.Serial)
        {
            if (_state != Free)
                return false;
            _state = Taken;
        }
        else if (Interlocked.CompareExchange(ref _state, Taken, Free) != Free)
        {
            return false;
        }
        _owner = task;
        task.Acquired(this, LockMode.Write);
        return true;
    }

    private ValueTask LockSlowAsync(KernelTask task)
    {
        if (task.HasPoints)
            return LockAtPointAsync(task);
        ValueTask<WaitResult> wait = EnqueueAsync(task, interruptible: false);
        return wait.IsCompleted ? default : task.Waiter.Pending;
    }

    private async ValueTask LockAtPointAsync(KernelTask task)
    {
        await task.Runtime.PointAsync(task);
        if (!TryTake(task))
            await EnqueueAsync(task, interruptible: false);
    }

    private ValueTask<WaitResult> EnqueueAsync(KernelTask task, bool interruptible)
    {
        WaitQueue waiters = Waiters();
        lock (waiters.Gate)
        {
            while (true)
            {
                if (TryTake(task))
                    return new ValueTask<WaitResult>(WaitResult.Done);
                if (Volatile.Read(ref _state) == Contended || Interlocked.CompareExchange(ref _state, Contended, Taken) == Taken)
                    return waiters.Join(task, interruptible);
            }
        }
    }

    private void HandOver()
    {
        TaskWaiter? next;
        WaitQueue waiters = Waiters();
        lock (waiters.Gate)
        {
            next = waiters.TakeFirst();
            if (next is not null)
            {
                _owner = next.Task;
                next.Task.Acquired(this, LockMode.Write);
            }
            Volatile.Write(ref _state, next is null ? Free : waiters.IsEmpty ? Taken : Contended);
        }
        next?.Wake(WaitResult.Done);
    }

    private WaitQueue Waiters() =>
        _waiters ?? Interlocked.CompareExchange(ref _waiters, new WaitQueue(), null) ?? _waiters;

    private void ThrowNotOwner(KernelTask task) =>
        throw new InvalidOperationException($"task '{task.Name}' unlocks {Class.Name}, which is held by {_owner?.Name ?? "nobody"}");
}

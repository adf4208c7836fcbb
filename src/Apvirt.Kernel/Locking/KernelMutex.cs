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

    private int _state;
    private KernelTask? _owner;
    private WaitQueue? _waiters;

    // Whether anybody waits, or is about to; written under the gate of _waiters. A release stores Free and then looks here
    // without a fence of its own: whoever sets the flag fences all processors before it looks at the state again, so
    // either it sees Free, or the release sees the flag. That leaves one atomic instruction for an uncontended pair.
    private bool _hasWaiters;

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
        if (_hasWaiters)
        {
            HandOver();
            return;
        }
        Volatile.Write(ref _state, Free);
        if (!task.Serial && Volatile.Read(ref _hasWaiters))
            HandOverFreed();
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
        else if (_hasWaiters || Interlocked.CompareExchange(ref _state, Taken, Free) != Free)
        {
            return false;
        }
        Own(task);
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Own(KernelTask task)
    {
        _owner = task;
        task.Acquired(this, LockMode.Write);
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
            if (!_hasWaiters)
            {
                _hasWaiters = true;
                if (!task.Serial)
                    Interlocked.MemoryBarrierProcessWide();
            }
            bool isNext = waiters.IsEmpty;
            if (isNext && Interlocked.CompareExchange(ref _state, Taken, Free) == Free)
            {
                _hasWaiters = false;
                Own(task);
                return new ValueTask<WaitResult>(WaitResult.Done);
            }
            return waiters.Join(task, interruptible);
        }
    }

    /// <summary>The holder gives the mutex to the first waiter; it is never free in between, so nobody overtakes.</summary>
    private void HandOver()
    {
        TaskWaiter? next;
        WaitQueue waiters = Waiters();
        lock (waiters.Gate)
        {
            next = waiters.TakeFirst();
            _hasWaiters = !waiters.IsEmpty;
            if (next is null)
                Volatile.Write(ref _state, Free);
            else
                Own(next.Task);
        }
        next?.Wake(WaitResult.Done);
    }

    /// <summary>A waiter came while the mutex was being released: it gets it, unless somebody who came before it took it.</summary>
    private void HandOverFreed()
    {
        TaskWaiter? next = null;
        WaitQueue waiters = Waiters();
        lock (waiters.Gate)
        {
            if (!waiters.IsEmpty && Interlocked.CompareExchange(ref _state, Taken, Free) == Free)
            {
                next = waiters.TakeFirst()!;
                Own(next.Task);
            }
            _hasWaiters = !waiters.IsEmpty;
        }
        next?.Wake(WaitResult.Done);
    }

    private WaitQueue Waiters() =>
        _waiters ?? Interlocked.CompareExchange(ref _waiters, new WaitQueue(), null) ?? _waiters;

    private void ThrowNotOwner(KernelTask task) =>
        throw new InvalidOperationException($"task '{task.Name}' unlocks {Class.Name}, which is held by {_owner?.Name ?? "nobody"}");
}

using System.Runtime.CompilerServices;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Locking;

/// <summary>
/// A sleeping mutex, first come first served: the lock is handed to the first waiter, nobody overtakes.
/// An uncontended acquire and release completes synchronously and allocates nothing (reference/runtime.md).
/// </summary>
public sealed class KernelMutex : KernelLock, IPointTarget
{
    // The states of a lock that nobody shares (LockState).
    private const int Free = 0;
    private const int Taken = LockState.Written;

    private int _state;
    private KernelTask? _holder;
    private WaitQueue? _waiters;

    // Whether anybody waits, or is about to; written under the gate of _waiters. A release stores Free and then looks here
    // without a fence of its own: whoever sets the flag fences all processors before it looks at the state again, so
    // either it sees Free, or the release sees the flag. That leaves one atomic instruction for an uncontended pair.
    private bool _hasWaiters;

    /// <summary>Makes a free mutex of a class.</summary>
    /// <param name="lockClass">Its class.</param>
    /// <param name="order">Its place among the locks of its class, where two of them may be held at once.</param>
    /// <param name="owner">The object that it belongs to, whose name tells it from others of its class.</param>
    public KernelMutex(LockClass lockClass, int order = 0, object? owner = null) : base(lockClass, order, owner)
    {
    }

    /// <summary>The task that holds the mutex, null when it is free.</summary>
    public KernelTask? Holder => _holder;

    /// <inheritdoc/>
    public override bool IsHeld => _holder is not null;

    bool IPointTarget.CanDo(PointKind kind) => kind != PointKind.Lock || new LockState(Volatile.Read(ref _state), Askers: 0).MayGrant(LockMode.Write);

    /// <summary>Acquires the mutex, sleeping until it is this task's turn.</summary>
    /// <param name="task">The acquiring task, which must not hold the mutex already.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ValueTask LockAsync(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (!task.HasPoints && TryTake(task, file, line, isTry: false))
            return default;
        return LockSlowAsync(task, file, line);
    }

    /// <summary>Acquires the mutex unless a signal ends the wait.</summary>
    /// <param name="task">The acquiring task.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    /// <returns><see cref="Errno.EINTR"/> if a signal came first; the mutex is then not held.</returns>
    public async ValueTask<Errno> LockInterruptibleAsync(
        KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (task.HasPoints)
        {
            task.AsksAt = new LockSite(file, line);
            await task.Runtime.PointAsync(task, this, PointKind.Lock);
        }
        if (TryTake(task, file, line, isTry: false))
            return Errno.Ok;
        return await EnqueueAsync(task, interruptible: true, file, line) == WaitResult.Interrupted ? Errno.EINTR : Errno.Ok;
    }

    /// <summary>Acquires the mutex if that is possible without sleeping.</summary>
    /// <param name="task">The acquiring task.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    /// <returns>Whether the mutex is now held by the task.</returns>
    public bool TryLock(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (task.HasPoints)
            task.Runtime.Acted(this, PointKind.Try);
        return TryTake(task, file, line, isTry: true);
    }

    /// <summary>The same as <see cref="TryLock"/>, at a point where others may run first.</summary>
    /// <param name="task">The acquiring task.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    /// <returns>Whether the mutex is now held by the task.</returns>
    public async ValueTask<bool> TryLockAsync(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (task.HasPoints)
        {
            task.AsksAt = new LockSite(file, line);
            await task.Runtime.PointAsync(task, this, PointKind.Try);
        }
        return TryLock(task, file, line);
    }

    /// <summary>The same as <see cref="Unlock"/>, at a point where others may run first: for a mutex that somebody tries.</summary>
    /// <param name="task">The holder.</param>
    public async ValueTask UnlockAsync(KernelTask task)
    {
        if (task.HasPoints)
            await task.Runtime.PointAsync(task, this, PointKind.Unlock);
        task.Runtime.EntersSection();
        Unlock(task);
        task.Runtime.LeavesSection();
    }

    /// <summary>Releases the mutex and hands it to the first waiter.</summary>
    /// <param name="task">The holder.</param>
    /// <exception cref="InvalidOperationException">The task does not hold the mutex, and nothing is checked.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Unlock(KernelTask task)
    {
        if (!ReferenceEquals(_holder, task))
        {
            RefuseUnlock(task);
            return;
        }
        // What looks at the host on a release sees the lock free; nobody gets in before the state is free too.
        _holder = null;
        task.Released(this);
        if (task.HasPoints)
            task.Runtime.Acted(this, PointKind.Unlock);
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
    private bool TryTake(KernelTask task, string? file, int line, bool isTry)
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
        _holder = task;
        task.Acquired(this, LockMode.Write, file, line, isTry);
        return true;
    }

    // For a task that announced the acquisition before it began to wait.
    private void Own(KernelTask task)
    {
        _holder = task;
        task.Acquired(this, LockMode.Write, task.WaitingAt.File, task.WaitingAt.Line);
    }

    private ValueTask LockSlowAsync(KernelTask task, string? file, int line)
    {
        if (task.HasPoints)
            return LockAtPointAsync(task, file, line);
        ValueTask<WaitResult> wait = EnqueueAsync(task, interruptible: false, file, line);
        return wait.IsCompleted ? default : task.Waiter.Pending;
    }

    private async ValueTask LockAtPointAsync(KernelTask task, string? file, int line)
    {
        task.AsksAt = new LockSite(file, line);
        await task.Runtime.PointAsync(task, this, PointKind.Lock);
        if (!TryTake(task, file, line, isTry: false))
            await EnqueueAsync(task, interruptible: false, file, line);
    }

    private ValueTask<WaitResult> EnqueueAsync(KernelTask task, bool interruptible, string? file, int line)
    {
        task.Acquiring(this, LockMode.Write, file, line);
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
        _waiters ?? Interlocked.CompareExchange(ref _waiters, new WaitQueue(this), null) ?? _waiters;

    private void RefuseUnlock(KernelTask task)
    {
        string what = $"task '{task.Name}' unlocks {Class.Name}, which is held by {_holder?.Name ?? "nobody"}";
        if (task.Checks is null)
            throw new InvalidOperationException(what);
        task.Checks.Report(task, ViolationKind.UnlockBalance, what);
    }
}

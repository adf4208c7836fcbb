using System.Runtime.CompilerServices;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Locking;

/// <summary>
/// A sleeping reader/writer lock, first come first served: a reader that comes after a waiting writer waits behind it,
/// so neither side starves (<see cref="LockState"/>). Uncontended use completes synchronously and allocates nothing.
/// </summary>
public sealed class KernelRwSemaphore : KernelLock, IPointTarget
{
    private readonly WaitQueue _waiters;

    // Guarded by the gate of _waiters.
    private LockState _state;

    /// <summary>Makes a free lock of a class.</summary>
    /// <param name="lockClass">Its class.</param>
    /// <param name="order">Its place among the locks of its class, where two of them may be held at once.</param>
    /// <param name="owner">The object that it belongs to, whose name tells it from others of its class.</param>
    public KernelRwSemaphore(LockClass lockClass, int order = 0, object? owner = null) : base(lockClass, order, owner)
    {
        _waiters = new WaitQueue(this);
    }

    /// <inheritdoc/>
    public override bool IsHeld => _state.IsHeld;

    /// <summary>Acquires in a mode, sleeping until it is this task's turn.</summary>
    /// <param name="task">The acquiring task.</param>
    /// <param name="mode">Exclusive, shared, or shared without waiting behind a waiting writer.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    public ValueTask LockAsync(
        KernelTask task, LockMode mode, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) =>
        task.HasPoints ? LockAtPointAsync(task, mode, file, line) : LockNowAsync(task, mode, file, line);

    /// <summary>Acquires shared.</summary>
    /// <param name="task">The acquiring task.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    public ValueTask LockReadAsync(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) =>
        LockAsync(task, LockMode.Read, file, line);

    /// <summary>Acquires exclusively.</summary>
    /// <param name="task">The acquiring task.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    public ValueTask LockWriteAsync(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) =>
        LockAsync(task, LockMode.Write, file, line);

    /// <summary>Acquires shared if that is possible without sleeping.</summary>
    /// <param name="task">The acquiring task.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    public bool TryLockRead(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (task.HasPoints)
            task.Runtime.Acted(this, PointKind.TryShared);
        lock (_waiters.Gate)
            return TryTake(task, LockMode.Read, file, line, isTry: true);
    }

    /// <summary>The same as <see cref="TryLockRead"/>, at a point where others may run first.</summary>
    /// <param name="task">The acquiring task.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    /// <returns>Whether the semaphore is now held by the task.</returns>
    public async ValueTask<bool> TryLockReadAsync(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (task.HasPoints)
        {
            task.AsksAt = new LockSite(file, line);
            await task.Runtime.PointAsync(task, this, PointKind.TryShared);
        }
        return TryLockRead(task, file, line);
    }

    /// <summary>Acquires exclusively if that is possible without sleeping.</summary>
    /// <param name="task">The acquiring task.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    public bool TryLockWrite(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (task.HasPoints)
            task.Runtime.Acted(this, PointKind.Try);
        lock (_waiters.Gate)
            return TryTake(task, LockMode.Write, file, line, isTry: true);
    }

    /// <summary>Releases a shared hold.</summary>
    /// <param name="task">The holder.</param>
    public void UnlockRead(KernelTask task) => Unlock(task, shared: true);

    /// <summary>Releases an exclusive hold.</summary>
    /// <param name="task">The holder.</param>
    public void UnlockWrite(KernelTask task) => Unlock(task, shared: false);

    /// <summary>The same as <see cref="UnlockWrite"/>, at a point where others may run first: for a semaphore that somebody tries.</summary>
    /// <param name="task">The holder.</param>
    public async ValueTask UnlockWriteAsync(KernelTask task)
    {
        if (task.HasPoints)
            await task.Runtime.PointAsync(task, this, PointKind.Unlock);
        task.Runtime.EntersSection();
        UnlockWrite(task);
        task.Runtime.LeavesSection();
    }

    /// <summary>Whether a try would succeed now, for whoever watches.</summary>
    /// <param name="mode">How it is wanted.</param>
    public bool MayTry(LockMode mode) => _state.MayTry(mode);

    bool IPointTarget.CanDo(PointKind kind) => kind switch
    {
        PointKind.Lock => _state.MayGrant(LockMode.Write),
        PointKind.LockShared => _state.MayGrant(LockMode.Read),
        PointKind.LockRecursive => _state.MayGrant(LockMode.RecursiveRead),
        _ => true,
    };

    private void Unlock(KernelTask task, bool shared)
    {
        if (shared ? _state.Holders <= 0 : _state.Holders != LockState.Written)
        {
            RefuseUnlock(task, shared);
            return;
        }
        bool isBalanced = task.Checks is null || task.Holds(this);
        task.Released(this);
        if (!isBalanced)
            return;
        if (task.HasPoints)
            task.Runtime.Acted(this, shared ? PointKind.UnlockShared : PointKind.Unlock);
        lock (_waiters.Gate)
            _state = _state.Released(shared ? LockMode.Read : LockMode.Write);
        Admit();
    }

    // Asking has an effect of its own for a writer: it keeps out readers that come later. So it is a step of its own.
    private async ValueTask LockAtPointAsync(KernelTask task, LockMode mode, string? file, int line)
    {
        task.AsksAt = new LockSite(file, line);
        if (mode != LockMode.Write)
        {
            await task.Runtime.PointAsync(task, this, mode == LockMode.Read ? PointKind.LockShared : PointKind.LockRecursive);
            await LockNowAsync(task, mode, file, line);
            return;
        }
        await task.Runtime.PointAsync(task, this, PointKind.Ask);
        if (!task.Runtime.Decides(task))
        {
            await LockNowAsync(task, mode, file, line);
            return;
        }
        _state = _state.Asked();
        task.Acquiring(this, mode, file, line);
        await task.Runtime.PointAsync(task, this, PointKind.Lock);
        Take(task, mode, file, line, isTry: false, hasAsked: true);
    }

    private ValueTask LockNowAsync(KernelTask task, LockMode mode, string? file, int line)
    {
        lock (_waiters.Gate)
        {
            if (TryTake(task, mode, file, line, isTry: false))
                return default;
            task.Acquiring(this, mode, file, line);
            task.Waiter.Mode = mode;
            if (mode == LockMode.Write)
                _state = _state.Asked();
            _ = _waiters.Join(task, interruptible: false);
            return task.Waiter.Pending;
        }
    }

    // Nobody overtakes who waits, but for readers that may read again.
    private bool TryTake(KernelTask task, LockMode mode, string? file, int line, bool isTry)
    {
        if (!_state.MayTry(mode) || (mode != LockMode.RecursiveRead && !_waiters.IsEmpty))
            return false;
        Take(task, mode, file, line, isTry, hasAsked: false);
        return true;
    }

    private void Take(KernelTask task, LockMode mode, string? file, int line, bool isTry, bool hasAsked)
    {
        _state = _state.Granted(mode, hasAsked);
        task.Acquired(this, mode, file, line, isTry);
    }

    // A recursive reader that waits for a writer is not overtaken by a second one, nor by readers behind that.
    private void Admit()
    {
        while (true)
        {
            TaskWaiter? next;
            lock (_waiters.Gate)
            {
                next = _waiters.First;
                // Whoever is first has nobody before it: a reader does not wait for writers behind it.
                if (next is null || !(next.Mode == LockMode.Write ? _state.MayGrant(LockMode.Write) : _state.MayGrant(LockMode.RecursiveRead)))
                    return;
                _waiters.Remove(next);
                Take(next.Task, next.Mode, next.Task.WaitingAt.File, next.Task.WaitingAt.Line, isTry: false, hasAsked: next.Mode == LockMode.Write);
            }
            next.Wake(WaitResult.Done);
        }
    }

    private void RefuseUnlock(KernelTask task, bool shared)
    {
        string what = $"task '{task.Name}' releases {Class.Name}, which nobody {(shared ? "reads" : "writes")}";
        if (task.Checks is null)
            throw new InvalidOperationException(what);
        task.Checks.Report(task, ViolationKind.UnlockBalance, what);
    }
}

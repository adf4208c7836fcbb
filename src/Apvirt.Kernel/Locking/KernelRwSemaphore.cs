using System.Runtime.CompilerServices;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
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
    /// <param name="order">Its place among the locks of its class, where two of them may be held at once.</param>
    public KernelRwSemaphore(LockClass lockClass, int order = 0) : base(lockClass, order)
    {
    }

    /// <inheritdoc/>
    public override bool IsHeld => _holders != 0;

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
            await task.Runtime.PointAsync(task, this, PointKind.TryShared);
        return TryLockRead(task, file, line);
    }

    /// <summary>Acquires exclusively if that is possible without sleeping.</summary>
    /// <param name="task">The acquiring task.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    public bool TryLockWrite(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
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

    private void Unlock(KernelTask task, bool shared)
    {
        if (shared ? _holders <= 0 : _holders != Written)
        {
            RefuseUnlock(task, shared);
            return;
        }
        bool isBalanced = task.Checks is null || task.Holds(this);
        task.Released(this);
        if (!isBalanced)
            return;
        if (task.HasPoints)
            task.Runtime.Released(task, this, shared);
        lock (_waiters.Gate)
            _holders = shared ? _holders - 1 : 0;
        Admit();
    }

    private async ValueTask LockAtPointAsync(KernelTask task, LockMode mode, string? file, int line)
    {
        await task.Runtime.PointAsync(task, this, mode == LockMode.Write ? PointKind.Lock : PointKind.LockShared);
        await LockNowAsync(task, mode, file, line);
    }

    private ValueTask LockNowAsync(KernelTask task, LockMode mode, string? file, int line)
    {
        lock (_waiters.Gate)
        {
            if (TryTake(task, mode, file, line, isTry: false))
                return default;
            task.Acquiring(this, mode, file, line);
            task.Waiter.Mode = mode;
            _ = _waiters.Join(task, interruptible: false);
            return task.Waiter.Pending;
        }
    }

    private bool TryTake(KernelTask task, LockMode mode, string? file, int line, bool isTry)
    {
        if ((mode != LockMode.RecursiveRead && !_waiters.IsEmpty) || !Fits(mode))
            return false;
        Take(task, mode, file, line, isTry);
        return true;
    }

    /// <summary>Whether an acquisition would not have to wait for a holder.</summary>
    /// <param name="mode">Its mode.</param>
    public bool Admits(LockMode mode) => Fits(mode);

    private bool Fits(LockMode mode) => mode == LockMode.Write ? _holders == 0 : _holders >= 0;

    private void Take(KernelTask task, LockMode mode, string? file, int line, bool isTry)
    {
        _holders = mode == LockMode.Write ? Written : _holders + 1;
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
                if (next is null || !Fits(next.Mode))
                    return;
                _waiters.Remove(next);
                Take(next.Task, next.Mode, next.Task.WaitingAt.File, next.Task.WaitingAt.Line, isTry: false);
            }
            next.Wake(WaitResult.Done);
        }
    }

    private void RefuseUnlock(KernelTask task, bool shared)
    {
        string what = $"task '{task.Name}' releases {Class.Name}, which nobody {(shared ? "reads" : "writes")}";
        if (task.Checks is null)
            throw new InvalidOperationException(what);
        task.Checks.Violations.Add(ViolationKind.UnlockBalance, task, what);
    }
}

using System.Runtime.CompilerServices;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Locking;

/// <summary>
/// The references that running file operations hold on what is behind a file (kn_active, lock class L1 of locking.md).
/// Entering fails once deletion has begun; deletion waits until the last operation has left.
/// </summary>
public sealed class ActiveReferences : KernelLock
{
    private const int Deleted = int.MinValue;

    // Number of running operations, plus Deleted once deletion has begun.
    private int _count;
    private Completion? _drained;

    /// <summary>Makes the references of one set of files.</summary>
    /// <param name="lockClass">Its class.</param>
    /// <param name="owner">The object whose files they are, whose name tells them from others of the class.</param>
    public ActiveReferences(LockClass lockClass, object? owner = null) : base(lockClass, owner: owner)
    {
    }

    /// <inheritdoc/>
    public override bool IsHeld => Volatile.Read(ref _count) is not (0 or Deleted);

    /// <summary>Whether deletion has begun.</summary>
    /// <param name="runtime">The runtime of the owner; null while nobody else can reach it.</param>
    public bool IsDeleted(KernelRuntime? runtime)
    {
        if (runtime is { IsTold: true })
            runtime.Acted(this, PointKind.Look);
        return Volatile.Read(ref _count) < 0;
    }

    /// <summary>Begins an operation.</summary>
    /// <param name="task">The operating task.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    /// <returns>False if the files are gone; the caller answers ENODEV (sysfs.md G9).</returns>
    public bool TryEnter(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (task.HasPoints)
            task.Runtime.Acted(this, PointKind.Enter);
        if (task.Serial)
        {
            if (_count < 0)
                return false;
            _count++;
        }
        else if (Interlocked.Increment(ref _count) <= 0)
        {
            Left();
            return false;
        }
        task.Acquired(this, LockMode.Read, file, line, isTry: true);
        return true;
    }

    /// <summary>A point before <see cref="TryEnter"/>, where the runtime wants one.</summary>
    /// <param name="task">The task.</param>
    /// <param name="file">Entering file; filled in by the compiler.</param>
    /// <param name="line">Entering line; filled in by the compiler.</param>
    public ValueTask PointAsync(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (!task.HasPoints)
            return default;
        task.AsksAt = new LockSite(file, line);
        return task.Runtime.PointAsync(task, this, PointKind.Enter);
    }

    /// <summary>Ends an operation.</summary>
    /// <param name="task">The operating task.</param>
    public void Exit(KernelTask task)
    {
        if (task.HasPoints)
            task.Runtime.Acted(this, PointKind.UnlockShared);
        task.Released(this);
        if (task.Serial && _count > 0)
            _count--;
        else
            Left();
    }

    /// <summary>
    /// Deletes the files: later operations fail, running ones are waited for. An operation that deletes its own file
    /// must have left first.
    /// </summary>
    /// <param name="task">The deleting task.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    public ValueTask DeleteAsync(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        task.Awaits(this, file, line);
        return task.HasPoints ? DeleteAtPointAsync(task) : BeginDeletionAsync(task);
    }

    /// <summary>Makes deleted files usable again, for a device that is bound a second time.</summary>
    /// <param name="task">The task that binds it.</param>
    public void Revive(KernelTask task)
    {
        Renew(task);
        _drained = null;
        Volatile.Write(ref _count, 0);
    }

    private async ValueTask DeleteAtPointAsync(KernelTask task)
    {
        await task.Runtime.PointAsync(task, this, PointKind.Delete);
        await BeginDeletionAsync(task);
    }

    // Where nobody is inside there is nobody to wait for, and nothing to wait on is made.
    private ValueTask BeginDeletionAsync(KernelTask task) =>
        Interlocked.CompareExchange(ref _count, Deleted, 0) == 0 ? default : DrainAsync(task);

    private async ValueTask DrainAsync(KernelTask task)
    {
        _drained ??= new Completion(task.Runtime, this);
        int before = Interlocked.Add(ref _count, Deleted) - Deleted;
        if (before > 0)
            await _drained.WaitAsync(task);
    }

    private void Left()
    {
        if (Interlocked.Decrement(ref _count) == Deleted)
            _drained?.CompleteAll();
    }
}

using System.Runtime.CompilerServices;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Locking;

/// <summary>A lock for sections that never sleep: a few loads and stores, no await. It takes no scheduling point.</summary>
public sealed class KernelSpinLock : KernelLock
{
    private readonly Lock _gate = new();
    private KernelTask? _holder;

    /// <summary>Makes a free lock of a class.</summary>
    /// <param name="lockClass">Its class.</param>
    /// <param name="owner">The object that it belongs to, whose name tells it from others of its class.</param>
    public KernelSpinLock(LockClass lockClass, object? owner = null) : base(lockClass, owner: owner)
    {
    }

    /// <inheritdoc/>
    public override bool IsHeld => _holder is not null;

    /// <summary>Acquires the lock; to be used in a <c>using</c> statement.</summary>
    /// <param name="task">The acquiring task.</param>
    /// <param name="file">Acquiring file; filled in by the compiler.</param>
    /// <param name="line">Acquiring line; filled in by the compiler.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Section Lock(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (task.HasPoints)
            task.Runtime.Passed(this, isReleased: false);
        if (!task.Serial)
            Enter(task, file, line);
        task.Acquired(this, LockMode.Write, file, line);
        _holder = task;
        return new Section(this, task);
    }

    private void Enter(KernelTask task, string? file, int line)
    {
        task.Acquiring(this, LockMode.Write, file, line);
        _gate.Enter();
    }

    /// <summary>A held spin lock; disposing it releases the lock.</summary>
    public readonly ref struct Section
    {
        private readonly KernelSpinLock _lock;
        private readonly KernelTask _task;

        internal Section(KernelSpinLock spinLock, KernelTask task)
        {
            _lock = spinLock;
            _task = task;
        }

        /// <summary>Releases the lock.</summary>
        public void Dispose()
        {
            _lock._holder = null;
            _task.Released(_lock);
            if (_task.HasPoints)
                _task.Runtime.Passed(_lock, isReleased: true);
            if (!_task.Serial)
                _lock._gate.Exit();
        }
    }
}

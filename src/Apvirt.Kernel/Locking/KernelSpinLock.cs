using System.Runtime.CompilerServices;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Locking;

/// <summary>A lock for sections that never sleep: a few loads and stores, no await. It takes no scheduling point.</summary>
public sealed class KernelSpinLock : KernelLock
{
    private readonly Lock _gate = new();

    /// <summary>Makes a free lock of a class.</summary>
    /// <param name="lockClass">Its class.</param>
    public KernelSpinLock(LockClass lockClass) : base(lockClass)
    {
    }

    /// <summary>Acquires the lock; to be used in a <c>using</c> statement.</summary>
    /// <param name="task">The acquiring task.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Section Lock(KernelTask task)
    {
        if (!task.Serial)
            _gate.Enter();
        task.Acquired(this, LockMode.Write);
        return new Section(this, task);
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
            _task.Released(_lock);
            if (!_task.Serial)
                _lock._gate.Exit();
        }
    }
}

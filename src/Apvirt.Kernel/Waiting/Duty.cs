using System.Runtime.CompilerServices;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Waiting;

/// <summary>
/// What tasks owe to whoever waits for them, as a pseudo-lock: who is obliged "holds" it until it has done its duty, who
/// waits "takes" it. So an order between a lock and a wait is validated like an order between two locks. Costs nothing
/// while nothing is checked.
/// </summary>
public sealed class Duty : KernelLock
{
    /// <summary>Makes a duty that nobody has.</summary>
    /// <param name="lockClass">Its class, of kind <see cref="LockKind.Wait"/>.</param>
    public Duty(LockClass lockClass) : base(lockClass)
    {
    }

    /// <inheritdoc/>
    public override bool IsHeld => false;

    /// <summary>The task is obliged from here on. It never waits for that.</summary>
    /// <param name="task">The obliged task.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    public void Begin(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (task.Checks is not null)
            task.Acquired(this, LockMode.RecursiveRead, file, line, isTry: true);
    }

    /// <summary>The task has done its duty.</summary>
    /// <param name="task">The obliged task.</param>
    public void End(KernelTask task)
    {
        if (task.Checks is not null)
            task.Released(this);
    }

    /// <summary>A task is about to wait for everybody who is obliged.</summary>
    /// <param name="task">The waiting task.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    public void Await(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) =>
        task.Awaits(this, file, line);
}

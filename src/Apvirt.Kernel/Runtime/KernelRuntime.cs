using System.Runtime.ExceptionServices;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Runtime;

/// <summary>
/// What the kernel layers need from outside, and all that is not deterministic: running and waking tasks, time, random
/// numbers (DESIGN.md "One kernel, three schedulers"). One object per machine, never ambient.
/// </summary>
public abstract class KernelRuntime
{
    private int _lastTaskId;

    /// <summary>Clock and timers.</summary>
    public abstract TimeProvider Time { get; }

    /// <summary>What is checked while tasks run; null if nothing is. Tasks that exist already are not affected.</summary>
    public KernelChecks? Checks { get; init; }

    /// <summary>Who looks at the state at the points where invariants must hold; null if nobody does.</summary>
    public ICheckPoints? CheckPoints { get; set; }

    /// <summary>Whether all tasks share one thread.</summary>
    public abstract bool IsSerial { get; }

    /// <summary>Whether the runtime wants a scheduling point before each acquisition.</summary>
    public virtual bool HasPoints => false;

    /// <summary>Makes an identity for a caller that drives its own operations, such as a vCPU or a prompt.</summary>
    /// <param name="name">What the task is, for reports.</param>
    public KernelTask CreateTask(string name) => new(this, Interlocked.Increment(ref _lastTaskId), name);

    /// <summary>Starts a task; it runs when the runtime gets to it.</summary>
    /// <param name="name">What the task is, for reports.</param>
    /// <param name="body">What it does.</param>
    /// <returns>The task and its end.</returns>
    public abstract SpawnedTask Spawn(string name, Func<KernelTask, ValueTask> body);

    /// <summary>Lets time pass for a task.</summary>
    /// <param name="task">The sleeping task.</param>
    /// <param name="duration">How long; not negative.</param>
    public virtual ValueTask DelayAsync(KernelTask task, TimeSpan duration)
    {
        task.Waiter.Arm();
        ValueTask pending = task.Waiter.Pending;
        ITimer timer = Time.CreateTimer(
            static state => ((TaskWaiter)state!).Wake(WaitResult.TimedOut), task.Waiter, duration, Timeout.InfiniteTimeSpan);
        return AwaitThenDisposeAsync(pending, timer);
    }

    /// <summary>The next number of the runtime's random sequence.</summary>
    public abstract ulong NextRandom();

    /// <summary>A place where another task may run first; only runtimes with <see cref="HasPoints"/> are asked.</summary>
    /// <param name="task">The task at the point.</param>
    /// <param name="target">The lock or completion.</param>
    /// <param name="kind">What it is about to do to it.</param>
    public virtual ValueTask PointAsync(KernelTask task, object target, PointKind kind) => default;

    /// <summary>A task has released a lock; only runtimes with <see cref="HasPoints"/> are told.</summary>
    /// <param name="task">The task.</param>
    /// <param name="target">The lock.</param>
    /// <param name="isShared">Whether it was held shared.</param>
    public virtual void Released(KernelTask task, object target, bool isShared)
    {
    }

    /// <summary>Somebody has accessed a guarded field; only runtimes with <see cref="HasPoints"/> are told, while checks are on.</summary>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="rule">The rule of the field.</param>
    /// <param name="isWrite">Whether it was written.</param>
    public virtual void Accessed(object owner, GuardRule rule, bool isWrite)
    {
    }

    /// <summary>
    /// Somebody is about to read or write what neither a lock with a point before it nor a rule guards, so that the order with others
    /// who do may make a difference; only runtimes with <see cref="HasPoints"/> need be told.
    /// </summary>
    /// <param name="what">What it is, the same in every execution. The access follows at once.</param>
    /// <param name="isWrite">Whether it is written.</param>
    public virtual void Touched(string what, bool isWrite)
    {
    }

    /// <summary>As the other, of several things at once: nobody comes between them.</summary>
    /// <param name="all">What they are, and whether they are written.</param>
    public virtual void Touched(IReadOnlyList<(string What, bool IsWrite)> all)
    {
    }

    /// <summary>A spin lock was taken or released, which is no point; only runtimes with <see cref="HasPoints"/> are told.</summary>
    /// <param name="spinLock">The lock.</param>
    /// <param name="isReleased">Whether it was released.</param>
    public virtual void Passed(KernelSpinLock spinLock, bool isReleased)
    {
    }

    /// <summary>What follows is one step wherever points are: an instruction, or a wait that spins; may be nested.</summary>
    public virtual void EntersSection()
    {
    }

    /// <summary>The end of what <see cref="EntersSection"/> began.</summary>
    public virtual void LeavesSection()
    {
    }

    /// <summary>A spawned task ended with an exception, which is a bug and must not be lost.</summary>
    internal abstract void OnBug(ExceptionDispatchInfo bug);

    internal abstract void MakeRunnable(IThreadPoolWorkItem runnable);

    private static async ValueTask AwaitThenDisposeAsync(ValueTask pending, ITimer timer)
    {
        await pending;
        await timer.DisposeAsync();
    }
}

using System.Runtime.ExceptionServices;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Sharing;
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

    /// <summary>Makes a runtime.</summary>
    /// <param name="hasPoints">Whether it wants points.</param>
    /// <param name="isSerial">Whether all tasks share one thread.</param>
    /// <param name="isTold">Whether it is told of every access to what is shared.</param>
    private protected KernelRuntime(bool hasPoints, bool isSerial, bool isTold = false)
    {
        IsTold = isTold;
        HasPoints = hasPoints;
        IsSerial = isSerial;
    }

    /// <summary>Clock and timers.</summary>
    public abstract TimeProvider Time { get; }

    /// <summary>What is checked while tasks run; null if nothing is. Tasks that exist already are not affected.</summary>
    public KernelChecks? Checks { get; init; }

    /// <summary>The known defects that were shown so far; filled while something is checked.</summary>
    internal DeviationLog Deviations { get; } = new();

    /// <summary>Who looks at the state at the points where invariants must hold; null if nobody does.</summary>
    public ICheckPoints? CheckPoints { get; set; }

    /// <summary>Whether all tasks share one thread.</summary>
    public bool IsSerial { get; }

    /// <summary>Whether the runtime wants a scheduling point before each acquisition.</summary>
    public bool HasPoints { get; }

    /// <summary>Whether the runtime is told of every access to what is shared; one that is has points too.</summary>
    public bool IsTold { get; }

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

    /// <summary>Whether the runtime decides when timers are due, as it decides who goes on.</summary>
    internal virtual bool DecidesTimers => false;

    /// <summary>Starts a task that sleeps until a timer is due, where the runtime decides when that is.</summary>
    /// <param name="name">Name of the timer.</param>
    /// <param name="body">Sleeps, then does what the timer is for.</param>
    internal virtual void SpawnTimer(string name, Func<KernelTask, ValueTask> body) => Spawn(name, body);

    /// <summary>The next number of the runtime's random sequence.</summary>
    public abstract ulong NextRandom();

    /// <summary>A place where another task may run first; only runtimes with <see cref="HasPoints"/> are asked.</summary>
    /// <param name="task">The task at the point.</param>
    /// <param name="target">The lock or completion.</param>
    /// <param name="kind">What it is about to do to it.</param>
    public virtual ValueTask PointAsync(KernelTask task, object target, PointKind kind) => default;

    /// <summary>
    /// Whether a task that stands at a point goes on only when what it is about to do can be done. Where nobody decides, it
    /// goes on at once and waits for itself.
    /// </summary>
    /// <param name="task">The task.</param>
    internal virtual bool Decides(KernelTask task) => false;

    /// <summary>When a wait ends that begins now; whoever decides needs to know.</summary>
    /// <param name="task">The waiting task.</param>
    /// <param name="limit">The longest wait.</param>
    internal virtual long DueOf(KernelTask task, TimeSpan limit) => 0;

    /// <summary>A task that stands at a point is woken by something else than what it is about to do: by a signal, or by time.</summary>
    /// <param name="task">The task.</param>
    /// <param name="generation">Number of the wait at the point (<see cref="TaskWaiter.Generation"/>).</param>
    internal virtual void WakeAtPoint(KernelTask task, short generation)
    {
    }

    /// <summary>A synchronisation object is used within a step; only runtimes with <see cref="IsTold"/> are told.</summary>
    /// <param name="target">The object.</param>
    /// <param name="kind">What is done to it.</param>
    internal virtual void Acted(object target, PointKind kind)
    {
    }

    /// <summary>Somebody is about to access a field that is shared; only runtimes with <see cref="IsTold"/> are told.</summary>
    /// <param name="owner">The object that has the field; its name is the same in every execution.</param>
    /// <param name="rule">What is stated of the field.</param>
    /// <param name="part">The part of the field, where others need not meet who access other parts; null for the whole.</param>
    /// <param name="kind">How.</param>
    internal virtual void Accessed(object owner, FieldRule rule, string? part, AccessKind kind)
    {
    }

    /// <summary>As <see cref="Accessed"/>, of a further part of the same access: nobody comes between the two.</summary>
    /// <param name="owner">The object that has the field; its name is the same in every execution.</param>
    /// <param name="rule">What is stated of the field.</param>
    /// <param name="part">The part of the field; null for the whole.</param>
    /// <param name="kind">How.</param>
    internal virtual void AccessedToo(object owner, FieldRule rule, string? part, AccessKind kind)
    {
    }

    /// <summary>From here to <see cref="EndLooking"/> an onlooker looks at the state, which is no access of whoever runs now.</summary>
    public virtual void BeginLooking()
    {
    }

    /// <summary>The end of what <see cref="BeginLooking"/> began.</summary>
    public virtual void EndLooking()
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

    /// <summary>
    /// A place between two steps of an operation, where what others do may come in between and be seen: the specification says
    /// that it consists of several. Only whoever judges outcomes by steps stops here (DESIGN R4, M126).
    /// </summary>
    /// <param name="task">The operating task.</param>
    /// <param name="step">What comes next.</param>
    internal virtual ValueTask NextStepAsync(KernelTask task, string step) => default;

    /// <summary>The end of what <see cref="EntersSection"/> began.</summary>
    public virtual void LeavesSection()
    {
    }

    /// <summary>A spawned task ended with an exception, which is a bug and must not be lost.</summary>
    internal abstract void OnBug(ExceptionDispatchInfo bug);

    internal abstract void MakeRunnable(KernelTask task, IThreadPoolWorkItem runnable);

    private static async ValueTask AwaitThenDisposeAsync(ValueTask pending, ITimer timer)
    {
        await pending;
        await timer.DisposeAsync();
    }
}

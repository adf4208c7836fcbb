using System.Runtime.CompilerServices;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Waiting;

/// <summary>
/// Something that happens once, or once per waiter: <see cref="CompleteAll"/> lets every wait through from then on,
/// <see cref="Complete"/> lets exactly one through (<see cref="CompletionState"/>). Each use announces itself to whoever watches.
/// </summary>
public sealed class Completion : IPointTarget
{
    private readonly KernelRuntime _runtime;
    private readonly WaitQueue _waiters;

    // Guarded by the gate of _waiters.
    private CompletionState _state;

    /// <summary>Makes a completion that has not happened.</summary>
    /// <param name="runtime">The runtime of those who use it.</param>
    /// <param name="owner">The object that it belongs to, whose name tells it from others.</param>
    /// <param name="duty">What those who complete it owe to those who wait; null if that has no place among the locks.</param>
    public Completion(KernelRuntime runtime, object owner, Duty? duty = null)
    {
        _runtime = runtime;
        _waiters = new WaitQueue(this);
        Owner = owner;
        Duty = duty;
    }

    /// <summary>The object that it belongs to.</summary>
    public object Owner { get; }

    /// <summary>What those who complete it owe to those who wait, null if that has no place among the locks.</summary>
    public Duty? Duty { get; }

    /// <summary>Whether a wait would go through at once.</summary>
    public bool IsDone
    {
        get
        {
            Announce(PointKind.Look);
            return IsOver;
        }
    }

    /// <summary>The same for whoever schedules or watches, and is nobody's look.</summary>
    public bool IsOver
    {
        get
        {
            lock (_waiters.Gate)
                return _state.MayPass;
        }
    }

    /// <summary>Lets one waiter through: the first that waits, or the next that comes.</summary>
    public void Complete()
    {
        Announce(PointKind.Complete);
        TaskWaiter? waiter;
        lock (_waiters.Gate)
        {
            waiter = _waiters.TakeFirst();
            if (waiter is null)
                _state = _state.Completed();
        }
        waiter?.Wake(WaitResult.Done);
    }

    /// <summary>Lets all waiters through, now and later.</summary>
    public void CompleteAll()
    {
        Announce(PointKind.CompleteAll);
        while (true)
        {
            TaskWaiter? waiter;
            lock (_waiters.Gate)
            {
                _state = CompletionState.All;
                waiter = _waiters.TakeFirst();
            }
            if (waiter is null)
                return;
            waiter.Wake(WaitResult.Done);
        }
    }

    /// <summary>Takes back what was completed, so that the object can be used again.</summary>
    public void Reset()
    {
        Announce(PointKind.Reset);
        lock (_waiters.Gate)
            _state = CompletionState.None;
    }

    bool IPointTarget.CanDo(PointKind kind) => kind is not (PointKind.Wait or PointKind.WaitFor) || IsOver;

    /// <summary>Waits without limit.</summary>
    /// <param name="task">The waiting task.</param>
    /// <param name="interruptible">Whether a signal may end the wait.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    public ValueTask<WaitResult> WaitAsync(
        KernelTask task, bool interruptible = false, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        Duty?.Await(task, file, line);
        return task.HasPoints ? WaitAtPointAsync(task, PointKind.Wait, interruptible) : WaitNow(task, interruptible);
    }

    /// <summary>Waits for at most a given time.</summary>
    /// <param name="task">The waiting task.</param>
    /// <param name="limit">The longest wait.</param>
    /// <param name="interruptible">Whether a signal may end the wait.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    public async ValueTask<WaitResult> WaitAsync(
        KernelTask task, TimeSpan limit, bool interruptible = false, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        Duty?.Await(task, file, line);
        if (task.Runtime.Decides(task))
        {
            task.Runtime.DueOf(task, limit);
            short next = (short)(task.Waiter.Generation + 1);
            await using (task.Runtime.Time.CreateTimer(_ => task.Runtime.WakeAtPoint(task, next), state: null, limit, Timeout.InfiniteTimeSpan))
                return await WaitAtPointAsync(task, PointKind.WaitFor, interruptible);
        }
        if (task.HasPoints)
            await task.Runtime.PointAsync(task, this, PointKind.WaitFor);
        ValueTask<WaitResult> wait;
        short generation;
        lock (_waiters.Gate)
        {
            if (TryPass())
                return WaitResult.Done;
            wait = _waiters.Join(task, interruptible);
            if (wait.IsCompletedSuccessfully)
                return wait.Result;
            generation = task.Waiter.Generation;
        }
        ITimer timer = task.Runtime.Time.CreateTimer(
            _ => _waiters.Cancel(task.Waiter, generation, WaitResult.TimedOut), state: null, limit, Timeout.InfiniteTimeSpan);
        await using (timer)
            return await wait;
    }

    private ValueTask<WaitResult> WaitNow(KernelTask task, bool interruptible)
    {
        lock (_waiters.Gate)
            return TryPass() ? new ValueTask<WaitResult>(WaitResult.Done) : _waiters.Join(task, interruptible);
    }

    // Whoever decides lets the task go on when the wait goes through, when time is up, or when a signal comes.
    private async ValueTask<WaitResult> WaitAtPointAsync(KernelTask task, PointKind kind, bool interruptible)
    {
        if (!task.Runtime.Decides(task))
        {
            await task.Runtime.PointAsync(task, this, kind);
            return await WaitNow(task, interruptible);
        }
        if (!(interruptible && task.IsInterrupted))
        {
            ValueTask point = task.Runtime.PointAsync(task, this, kind);
            task.Waiter.AtPoint = interruptible;
            await point;
            task.Waiter.AtPoint = false;
        }
        Announce(PointKind.WaitFor);
        return TryPass() ? WaitResult.Done : interruptible && task.IsInterrupted ? WaitResult.Interrupted : WaitResult.TimedOut;
    }

    private bool TryPass()
    {
        if (!_state.MayPass)
            return false;
        _state = _state.Passed();
        return true;
    }

    private void Announce(PointKind kind)
    {
        if (_runtime.IsTold)
            _runtime.Acted(this, kind);
    }
}

using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Waiting;

/// <summary>
/// Tasks that wait for the same thing, first come first served. The gate guards the links and whatever state its owner
/// keeps beside them; it is held for a few instructions and never across an await.
/// </summary>
/// <param name="owner">What they wait for: a lock or a completion.</param>
internal sealed class WaitQueue(object owner)
{
    private TaskWaiter? _first;
    private TaskWaiter? _last;

    internal Lock Gate { get; } = new();

    internal object Owner => owner;

    internal bool IsEmpty => _first is null;

    internal TaskWaiter? First => _first;

    /// <summary>Called under <see cref="Gate"/>.</summary>
    internal void Append(TaskWaiter waiter)
    {
        waiter.Queue = this;
        waiter.Next = null;
        waiter.Previous = _last;
        if (_last is null)
            _first = waiter;
        else
            _last.Next = waiter;
        _last = waiter;
    }

    /// <summary>Called under <see cref="Gate"/>.</summary>
    internal TaskWaiter? TakeFirst()
    {
        TaskWaiter? waiter = _first;
        if (waiter is not null)
            Remove(waiter);
        return waiter;
    }

    /// <summary>Called under <see cref="Gate"/>.</summary>
    internal void Remove(TaskWaiter waiter)
    {
        if (waiter.Previous is null)
            _first = waiter.Next;
        else
            waiter.Previous.Next = waiter.Next;
        if (waiter.Next is null)
            _last = waiter.Previous;
        else
            waiter.Next.Previous = waiter.Previous;
        waiter.Queue = null;
        waiter.Next = null;
        waiter.Previous = null;
    }

    /// <summary>Ends a wait from outside: by time or by a signal. Does nothing if it has ended already.</summary>
    internal bool Cancel(TaskWaiter waiter, short generation, WaitResult result)
    {
        lock (Gate)
        {
            if (waiter.Queue != this || waiter.Generation != generation)
                return false;
            Remove(waiter);
        }
        waiter.Wake(result);
        return true;
    }

    /// <summary>Called under <see cref="Gate"/>: links the task and gives it something to await once the gate is free.</summary>
    internal ValueTask<WaitResult> Join(KernelTask task, bool interruptible)
    {
        if (interruptible && task.IsInterrupted)
            return new ValueTask<WaitResult>(WaitResult.Interrupted);
        task.Waiter.Arm(interruptible);
        Append(task.Waiter);
        return task.Waiter.PendingResult;
    }
}

using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Work;

/// <summary>A piece of work that is queued and done later, by the worker of a <see cref="WorkQueue"/>.</summary>
public sealed class WorkItem
{
    /// <summary>Makes an item that is not queued.</summary>
    /// <param name="lockClass">Its class, of kind <see cref="LockKind.Wait"/>: who waits for the work takes it, the work holds it.</param>
    /// <param name="body">What to do; runs on behalf of the worker.</param>
    public WorkItem(LockClass lockClass, Func<KernelTask, ValueTask> body)
    {
        Duty = new Duty(lockClass);
        Body = body;
    }

    /// <summary>What the item owes to those who wait for it.</summary>
    public Duty Duty { get; }

    internal Func<KernelTask, ValueTask> Body { get; }

    // Guarded by the gate of the queue that the item was given to.
    internal bool IsPending { get; set; }
    internal bool IsRunning { get; set; }
    internal bool HasFlushers { get; set; }
    internal Completion? Idle { get; set; }

    // Who waits for the item under locks that guard what it changes; the worker acts on its behalf meanwhile.
    internal KernelTask? Lender { get; set; }
}

/// <summary>
/// An ordered work queue: one worker does the items one after another. A flush of an item that has not begun does it in
/// place, on behalf of the worker, so that queueing and flushing costs no switch.
/// </summary>
public sealed class WorkQueue
{
    private static readonly SharedField Items = new("work items", "a work queue is a synchronisation object, with a gate of its own");

    private readonly KernelRuntime _runtime;
    private readonly KernelTask _worker;
    private readonly Lock _gate = new();

    // Guarded by _gate.
    private readonly LinkedList<WorkItem> _pending = new();
    private bool _isBusy;
    private bool _isScheduled;

    /// <summary>Makes an empty queue.</summary>
    /// <param name="runtime">Who runs the worker.</param>
    /// <param name="name">Name of the worker.</param>
    public WorkQueue(KernelRuntime runtime, string name)
    {
        _runtime = runtime;
        _worker = runtime.CreateTask(name);
    }

    /// <summary>Queues an item.</summary>
    /// <param name="item">The item.</param>
    /// <returns>False if it was queued already and has not begun.</returns>
    public bool Queue(WorkItem item)
    {
        Touches();
        lock (_gate)
        {
            if (item.IsPending)
                return false;
            item.IsPending = true;
            _pending.AddLast(item);
            if (_isBusy || _isScheduled)
                return true;
            _isScheduled = true;
        }
        _runtime.Spawn(_worker.Name, _ => DrainAsync());
        return true;
    }

    /// <summary>Queues an item and waits until it is done.</summary>
    /// <param name="task">The waiting task.</param>
    /// <param name="item">The item, which nobody else queues.</param>
    public ValueTask RunAsync(KernelTask task, WorkItem item)
    {
        item.Duty.Await(task);
        item.Lender = task;
        if (!TryBeginInPlace(task, item))
        {
            Queue(item);
            return FlushAsync(task, item);
        }
        Begin(item);
        ValueTask body = item.Body(_worker);
        if (!body.IsCompletedSuccessfully)
            return FinishAsync(item, body);
        Finish(item);
        return default;
    }

    /// <summary>Waits until an item is neither queued nor running.</summary>
    /// <param name="task">The waiting task.</param>
    /// <param name="item">The item.</param>
    public async ValueTask FlushAsync(KernelTask task, WorkItem item)
    {
        Touches();
        item.Duty.Await(task);
        lock (_gate)
        {
            if (!item.IsPending && !item.IsRunning)
                return;
            item.Idle ??= new Completion(_runtime, item.Duty.Class);
            if (!item.HasFlushers)
                item.Idle.Reset();
            item.HasFlushers = true;
        }
        await item.Idle.WaitAsync(task);
    }

    // What is queued and under way is guarded by no lock with a point before it.
    private void Touches()
    {
        if (_runtime.IsTold)
            _runtime.Accessed(_worker.Name, Items, part: null, AccessKind.Write);
    }

    private void Begin(WorkItem item)
    {
        _worker.Lender = item.Lender;
        item.Duty.Begin(_worker);
    }

    private bool TryBeginInPlace(KernelTask task, WorkItem item)
    {
        Touches();
        if (!task.Serial)
            _gate.Enter();
        bool isFree = !_isBusy && !_isScheduled && !item.IsPending;
        if (isFree)
        {
            _isBusy = true;
            item.IsRunning = true;
        }
        if (!task.Serial)
            _gate.Exit();
        return isFree;
    }

    private async ValueTask FinishAsync(WorkItem item, ValueTask body)
    {
        await body;
        Finish(item);
    }

    private void Finish(WorkItem item)
    {
        if (_worker.Serial && _pending.Count == 0)
        {
            Done(item);
            return;
        }
        lock (_gate)
        {
            Done(item);
            if (_pending.Count == 0 || _isScheduled)
                return;
            _isScheduled = true;
        }
        _runtime.Spawn(_worker.Name, _ => DrainAsync());
    }

    private async ValueTask DrainAsync()
    {
        while (true)
        {
            Touches();
            WorkItem item;
            lock (_gate)
            {
                if (_isBusy || _pending.First is not { } first)
                {
                    _isScheduled = false;
                    return;
                }
                item = first.Value;
                _pending.RemoveFirst();
                item.IsPending = false;
                item.IsRunning = true;
                _isBusy = true;
            }
            Begin(item);
            await item.Body(_worker);
            lock (_gate)
                Done(item);
        }
    }

    private void Done(WorkItem item)
    {
        Touches();
        item.Duty.End(_worker);
        _worker.Returns();
        _worker.Lender = null;
        item.Lender = null;
        item.IsRunning = false;
        _isBusy = false;
        if (item.IsPending || !item.HasFlushers)
            return;
        item.HasFlushers = false;
        item.Idle!.CompleteAll();
    }
}

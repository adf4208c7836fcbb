using System.Threading.Tasks.Sources;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Waiting;

/// <summary>
/// The one thing a task can wait for at a time. It is part of the task and used again for each wait, so waiting
/// allocates nothing. Between <see cref="Arm"/> and the resume it is linked into at most one <see cref="WaitQueue"/>.
/// </summary>
internal sealed class TaskWaiter : IValueTaskSource, IValueTaskSource<WaitResult>, IThreadPoolWorkItem
{
    private ManualResetValueTaskSourceCore<WaitResult> _core;
    private WaitResult _result;

    internal TaskWaiter(KernelTask task) => Task = task;

    internal KernelTask Task { get; }

    internal LockMode Mode { get; set; }

    /// <summary>Whether a signal may end the present wait.</summary>
    internal bool Interruptible { get; set; }

    /// <summary>Whether the task stands at a point that a signal may end.</summary>
    internal bool AtPoint { get; set; }

    // Links of the queue that the waiter is in; guarded by the queue's gate.
    internal WaitQueue? Queue { get; set; }
    internal TaskWaiter? Next { get; set; }
    internal TaskWaiter? Previous { get; set; }

    /// <summary>Number of the present wait; a timer of an earlier wait compares it and does nothing.</summary>
    internal short Generation => _core.Version;

    internal void Arm(bool interruptible = false)
    {
        _core.Reset();
        Interruptible = interruptible;
    }

    internal ValueTask Pending => new(this, _core.Version);

    internal ValueTask<WaitResult> PendingResult => new(this, _core.Version);

    /// <summary>Hands the waiter to the runtime, which resumes the task when it is its turn.</summary>
    internal void Wake(WaitResult result)
    {
        _result = result;
        Task.Runtime.MakeRunnable(Task, this);
    }

    internal void Interrupt()
    {
        if (AtPoint)
            Task.Runtime.WakeAtPoint(Task, Generation);
        else if (Interruptible)
            Queue?.Cancel(this, Generation, WaitResult.Interrupted);
    }

    void IThreadPoolWorkItem.Execute() => _core.SetResult(_result);

    void IValueTaskSource.GetResult(short token) => _core.GetResult(token);

    WaitResult IValueTaskSource<WaitResult>.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _core.GetStatus(token);

    ValueTaskSourceStatus IValueTaskSource<WaitResult>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, ValueTaskSourceOnCompletedFlags.None);

    void IValueTaskSource<WaitResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, ValueTaskSourceOnCompletedFlags.None);
}

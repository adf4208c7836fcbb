using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Explore.Engine;

/// <summary>
/// What of the present execution comes before what: a lock that one task released and another then acquired, a completion, a
/// start. A task's own time passes when it releases or wakes.
/// </summary>
/// <param name="tasksMax">The most tasks.</param>
internal sealed class Ordering(int tasksMax)
{
    private readonly VectorClocks _known = new(tasksMax, tasksMax);

    // By lock: what was known to those who released it, exclusively (0) and shared (1).
    private readonly Dictionary<object, VectorClocks> _released = new(ReferenceEqualityComparer.Instance);

    /// <summary>The task that does its step; negative if none does.</summary>
    internal int Task { get; private set; } = -1;

    /// <summary>The task's own time.</summary>
    internal int Time => _known[Task][Task];

    internal void Restart()
    {
        _known.Clear();
        for (int task = 0; task < tasksMax; task++)
            _known[task][task] = 1;
        _released.Clear();
        Task = -1;
    }

    /// <summary>Whether what a task did at a time comes before what is done now.</summary>
    internal bool IsBefore(int task, int time) => task == Task || _known[Task][task] >= time;

    /// <summary>A task does its step.</summary>
    internal void Steps(SteppedTask task)
    {
        Task = task.Index;
        if (task.IsWoken || task.Target is not { } target || !_released.TryGetValue(target, out VectorClocks? released))
            return;
        // Who only finds that a lock is taken, or releases it, learns nothing from who released it before.
        if (task.Kind is PointKind.Unlock or PointKind.Ask || (task.Kind == PointKind.Try && target is KernelLock { IsHeld: true })
            || (task.Kind == PointKind.TryShared && target is KernelRwSemaphore semaphore && !semaphore.MayTry(LockMode.Read))
            || (task.Kind == PointKind.WaitFor && target is Completion { IsOver: false }))
            return;
        _known[Task].Join(released[0]);
        if (task.Kind is not (PointKind.LockShared or PointKind.LockRecursive or PointKind.TryShared or PointKind.Enter))
            _known[Task].Join(released[1]);
    }

    /// <summary>A lock was taken within the step.</summary>
    internal void Acquired(object target)
    {
        if (Task >= 0 && _released.TryGetValue(target, out VectorClocks? released))
            _known[Task].Join(released[0]);
    }

    /// <summary>A lock was released, or something completed.</summary>
    internal void Released(object target, bool isShared)
    {
        if (Task < 0)
            return;
        if (!_released.TryGetValue(target, out VectorClocks? released))
            _released.Add(target, released = new VectorClocks(tasksMax, 2));
        released[isShared ? 1 : 0].Join(_known[Task]);
        _known[Task][Task]++;
    }

    /// <summary>A task was started or woken: by time after all that was done, or else by the task that does its step.</summary>
    internal void Woken(int task, bool isByTime)
    {
        if (Task < 0)
            return;
        for (int other = 0; isByTime && other < tasksMax; other++)
            _known[task].Join(_known[other]);
        _known[task].Join(_known[Task]);
        _known[Task][Task]++;
    }
}

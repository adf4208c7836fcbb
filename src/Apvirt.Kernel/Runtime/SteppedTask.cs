using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Runtime;

/// <summary>What tasks stand before at points, and which may not be done at once.</summary>
internal interface IPointTarget
{
    /// <summary>Whether it can be done now. The rule is that of the object itself (DESIGN R2), and there is no other.</summary>
    /// <param name="kind">What a task is about to do.</param>
    bool CanDo(PointKind kind);
}

/// <summary>A task whose steps somebody else decides.</summary>
public sealed class SteppedTask
{
    internal SteppedTask(int index, KernelTask task, int earlyLeft)
    {
        Index = index;
        Task = task;
        EarlyLeft = earlyLeft;
    }

    /// <summary>Number of the task: the same in all executions for the same start by the same task.</summary>
    public int Index { get; }

    /// <summary>The task.</summary>
    public KernelTask Task { get; }

    /// <summary>What it stands before, null if it stands before nothing.</summary>
    public object? Target { get; internal set; }

    /// <summary>What it is about to do to the target.</summary>
    public PointKind Kind { get; internal set; }

    /// <summary>Whether it has ended. A timer that only waits for its time has nothing to end.</summary>
    public bool HasEnded => Spawned.IsOver || (IsTimer && !HasFired && Kind == PointKind.Sleep && !CanStep);

    /// <summary>Whether it sleeps until a timer is due, and then does what that is for.</summary>
    public bool IsTimer { get; internal init; }

    internal bool HasFired { get; set; }

    /// <summary>What it is about to do in the middle of its code, where it stands: releases, reads or writes something; null if it does not.</summary>
    public string? Amid { get; internal set; }

    /// <summary>How many times its time may still be up while others can go on; after that it is up only when nobody can.</summary>
    public int EarlyLeft { get; internal set; }

    /// <summary>Whether it can do a step: it was started or woken, or what it is about to do can be done.</summary>
    public bool CanStep => IsWoken || Amid is not null || (Target is not null && CanDo);

    /// <summary>Whether it was started or woken, and goes on from there.</summary>
    public bool IsWoken => Item is not null;

    internal SpawnedTask Spawned { get; set; } = null!;

    internal IThreadPoolWorkItem? Item { get; set; }

    // What goes on when the step at the target is done.
    internal TaskWaiter Waiter { get; set; } = null!;

    // When the present sleep ends, by the virtual clock.
    internal long Due { get; set; }

    // What time it is for the task at least, if time was up for it while others could go on.
    internal long LocalTime { get; set; }

    // How many tasks it has started, by which those are known.
    internal int Children { get; set; }

    internal string Path { get; init; } = "";

    private bool CanDo => Kind switch
    {
        PointKind.Sleep => EarlyLeft > 0,
        PointKind.WaitFor when EarlyLeft > 0 => true,
        _ => Target is not IPointTarget target || target.CanDo(Kind),
    };
}

using System.Runtime.CompilerServices;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Tasks;

/// <summary>
/// On whose behalf kernel code runs: a sysfs writer, a vCPU, the bus scan, a work item. Every operation takes its task
/// explicitly (DESIGN.md), so the stack of held locks needs no ambient context and survives an await.
/// A task does one thing at a time; it is not for use by two callers at once.
/// </summary>
public sealed partial class KernelTask
{
    private Shared<bool> _isInterrupted;
    private HeldLock[] _held = new HeldLock[8];
    private int _heldCount;

    internal KernelTask(KernelRuntime runtime, int id, string name)
    {
        Runtime = runtime;
        Id = id;
        Name = name;
        HasPoints = runtime.HasPoints;
        Serial = runtime.IsSerial;
        Checks = runtime.Checks;
        IsWatched = runtime.IsTold || Checks is not null;
        Waiter = new TaskWaiter(this);
    }

    /// <summary>The runtime that schedules the task.</summary>
    public KernelRuntime Runtime { get; }

    /// <summary>Number of the task, unique and ascending within its runtime.</summary>
    public int Id { get; }

    /// <summary>What the task is, for reports: for example <c>write apmask</c> or <c>vcpu0 of g1</c>.</summary>
    public string Name { get; }

    /// <summary>
    /// The address space (mm) that the task is in: that of the process whose call it carries out. Null for one that is in none
    /// of its own, a kernel thread for example.
    /// </summary>
    public object? AddressSpace { get; set; }

    /// <summary>The locks that the task holds, outermost first.</summary>
    public ReadOnlySpan<HeldLock> Held => _held.AsSpan(0, _heldCount);

    /// <summary>What is checked while the task runs; null if nothing is.</summary>
    public KernelChecks? Checks { get; }

    /// <summary>Whether a signal is pending; interruptible waits end with <see cref="Errno.EINTR"/> (sysfs.md G11).</summary>
    public bool IsInterrupted => _isInterrupted.Read(Runtime, Name, KernelFields.Signal);

    /// <summary>True when the runtime wants a scheduling point before each acquisition.</summary>
    public bool HasPoints { get; }

    /// <summary>Whether somebody is told of accesses to guarded fields: checks, or whoever explores.</summary>
    internal bool IsWatched { get; }

    /// <summary>True when all tasks of the runtime share one thread, so that lock words need no atomic instructions.</summary>
    internal bool Serial { get; }

    internal TaskWaiter Waiter { get; }

    /// <summary>The lock or completion that the task waits for; null if it waits for none. For observers.</summary>
    public object? WaitsFor => Waiter.Queue?.Owner;

    /// <summary>Where the task asked for the lock that it stands before, for observers of an exploration; it stays when it goes on.</summary>
    public LockSite AsksAt { get; internal set; }

    /// <summary>Delivers a signal: an interruptible wait of the task ends, a later one does not begin.</summary>
    public void Interrupt()
    {
        _isInterrupted.Write(Runtime, Name, KernelFields.Signal, true);
        Waiter.Interrupt();
    }

    /// <summary>
    /// A place between two steps of an operation: the specification says that it consists of several, between which others may come.
    /// </summary>
    /// <param name="step">What comes next.</param>
    public ValueTask NextStepAsync(string step) => HasPoints ? Runtime.NextStepAsync(this, step) : default;

    /// <summary>Whether the task holds the lock in any mode.</summary>
    /// <param name="kernelLock">The lock to look for.</param>
    public bool Holds(KernelLock kernelLock) => IndexOf(kernelLock) >= 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Acquired(KernelLock kernelLock, LockMode mode, string? file, int line, bool isTry = false)
    {
        if (Checks is not null)
        {
            AcquiredChecked(kernelLock, mode, new LockSite(file, line), isTry);
            return;
        }
        HeldLock[] held = _held;
        int count = _heldCount;
        if ((uint)count < (uint)held.Length)
        {
            held[count] = new HeldLock(kernelLock, mode);
            _heldCount = count + 1;
            return;
        }
        Grow();
        Acquired(kernelLock, mode, file, line, isTry);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Released(KernelLock kernelLock)
    {
        if (Checks is not null)
        {
            ReleasedChecked(kernelLock);
            return;
        }
        int last = _heldCount - 1;
        HeldLock[] held = _held;
        if ((uint)last < (uint)held.Length && ReferenceEquals(held[last].Lock, kernelLock))
        {
            _heldCount = last;
            return;
        }
        ReleasedOutOfOrder(kernelLock);
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Name}/{Id}";

    private void Grow() => Array.Resize(ref _held, _held.Length * 2);

    private void ReleasedOutOfOrder(KernelLock kernelLock)
    {
        int at = IndexOf(kernelLock);
        if (at < 0)
            throw new InvalidOperationException($"task '{Name}' releases {kernelLock.Class.Name}, which it does not hold");
        Array.Copy(_held, at + 1, _held, at, _heldCount - at - 1);
        _heldCount--;
    }

    private int IndexOf(KernelLock kernelLock)
    {
        for (int i = _heldCount - 1; i >= 0; i--)
        {
            if (ReferenceEquals(_held[i].Lock, kernelLock))
                return i;
        }
        return -1;
    }
}

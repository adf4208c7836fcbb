using Apvirt.Kernel.Locking;

namespace Apvirt.Kvm.Machines;

/// <summary>A virtual processor. It executes guest instructions inside SIE, unless it is held out.</summary>
public sealed class Vcpu
{
    internal static readonly LockClass VcpuClass = new("vcpu->mutex", LockKind.Mutex, LockNesting.Ascending);

    private const int Out = 0;
    private const int InSie = 1;
    private const int Blocked = 2;

    private int _state;

    internal Vcpu(VirtualMachine machine, int index)
    {
        Machine = machine;
        Index = index;
        Mutex = new KernelMutex(VcpuClass, order: index);
        IsInterpretingAp = machine.Options.IsInterpretingAp;
        IsAivActive = machine.Options.HasAiv;
    }

    /// <summary>The VM.</summary>
    public VirtualMachine Machine { get; }

    /// <summary>Number within the VM, from 0.</summary>
    public int Index { get; }

    /// <summary>vcpu->mutex (L16): held while the vCPU runs, handlers of intercepted instructions included.</summary>
    public KernelMutex Mutex { get; }

    /// <summary>ECA.APIE: AP instructions are interpreted.</summary>
    public bool IsInterpretingAp { get; }

    /// <summary>ECA.AIV: adapter interrupts are virtualised.</summary>
    public bool IsAivActive { get; set; }

    /// <summary>Whether the guest runs in supervisor state; AQIC is privileged.</summary>
    public bool IsSupervisor { get; set; } = true;

    /// <summary>How often the vCPU was held out of SIE so that its control blocks could change.</summary>
    public long Kicks { get; private set; }

    /// <summary>
    /// Executes one guest instruction in SIE. While masks are being changed the vCPU waits outside, so no instruction
    /// sees half of a change (invariant I25).
    /// </summary>
    /// <typeparam name="TState">Type of what the instruction needs.</typeparam>
    /// <typeparam name="TResult">Type of what it answers.</typeparam>
    /// <param name="state">What the instruction needs.</param>
    /// <param name="instruction">The instruction; does not sleep.</param>
    public TResult RunInSie<TState, TResult>(TState state, Func<TState, TResult> instruction)
        where TState : allows ref struct
    {
        SpinWait wait = default;
        while (Interlocked.CompareExchange(ref _state, InSie, Out) != Out)
            wait.SpinOnce(sleep1Threshold: -1);
        TResult result = instruction(state);
        Volatile.Write(ref _state, Out);
        return result;
    }

    /// <summary>Holds the vCPU out of SIE; waits for the instruction that it executes, never for its mutex.</summary>
    internal void Block()
    {
        Kicks++;
        SpinWait wait = default;
        while (Interlocked.CompareExchange(ref _state, Blocked, Out) != Out)
            wait.SpinOnce(sleep1Threshold: -1);
    }

    internal void Unblock() => Volatile.Write(ref _state, Out);
}

using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kvm.Machines;

/// <summary>A virtual processor. It executes guest instructions inside SIE, unless it is held out.</summary>
public sealed class Vcpu
{
    internal static readonly LockClass VcpuClass = new("vcpu->mutex", LockKind.Mutex, LockNesting.Ascending);

    private const int Out = 0;
    private const int InSie = 1;
    private const int Blocked = 2;

    private Shared<int> _state;
    private Shared<bool> _isSupervisor = new(true);

    // Guarded by kvm->lock.
    private Guarded<long> _kicks;

    // Guarded by Mutex.
    private Guarded<bool> _isAivActive;
    private Guarded<bool> _isSecure;

    internal Vcpu(VirtualMachine machine, int index)
    {
        Machine = machine;
        Index = index;
        Mutex = new KernelMutex(VcpuClass, order: index, owner: this);
        IsInterpretingAp = machine.Options.IsInterpretingAp;
        _isAivActive = new(machine.Options.HasAiv);
    }

    /// <summary>The VM.</summary>
    public VirtualMachine Machine { get; }

    /// <summary>Number within the VM, from 0.</summary>
    public int Index { get; }

    /// <summary>vcpu->mutex (L16): held while the vCPU runs, handlers of intercepted instructions included.</summary>
    public KernelMutex Mutex { get; }

    /// <summary>ECA.APIE: AP instructions are interpreted.</summary>
    public bool IsInterpretingAp { get; }

    /// <summary>ECA.AIV: adapter interrupts are virtualised; for observers.</summary>
    public bool IsAivActive => _isAivActive.Glance(Runtime, this, KvmGuards.VcpuState);

    /// <summary>Whether adapter interrupts are virtualised.</summary>
    /// <param name="task">The task, which holds <see cref="Mutex"/>.</param>
    public bool ReadAiv(KernelTask task) => _isAivActive.Read(task, this, KvmGuards.VcpuState);

    internal void SetAiv(KernelTask task, bool isActive) => _isAivActive.Write(task, this, KvmGuards.VcpuState, isActive);

    /// <summary>Whether it is a secure vCPU, for observers.</summary>
    public bool IsSecure => _isSecure.Glance(Runtime, this, KvmGuards.VcpuState);

    /// <summary>Whether it is a secure vCPU (I40).</summary>
    /// <param name="task">The task, which holds <see cref="Mutex"/>.</param>
    public bool ReadSecure(KernelTask task) => _isSecure.Read(task, this, KvmGuards.VcpuState);

    internal void SetSecure(KernelTask task, bool isSecure) => _isSecure.Write(task, this, KvmGuards.VcpuState, isSecure);

    /// <inheritdoc/>
    public override string ToString() => $"{Machine}.{Index}";

    /// <summary>Whether the guest runs in supervisor state; AQIC is privileged.</summary>
    public bool IsSupervisor
    {
        get => _isSupervisor.Read(Runtime, this, KvmFields.SupervisorState);
        set => _isSupervisor.Write(Runtime, this, KvmFields.SupervisorState, value);
    }

    /// <summary>How often the vCPU was held out of SIE so that its control blocks could change, for observers.</summary>
    public long Kicks => _kicks.Glance(Runtime, this, KvmGuards.Kicks);

    private KernelRuntime Runtime => Machine.Runtime;

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
        KernelRuntime runtime = Runtime;
        SpinWait wait = default;
        while (!_state.TryChange(runtime, this, KvmFields.Sie, Out, InSie))
            wait.SpinOnce(sleep1Threshold: -1);
        TResult result = instruction(state);
        _state.Write(runtime, this, KvmFields.Sie, Out);
        return result;
    }

    /// <summary>The guest has nothing to do: the vCPU waits, within KVM_RUN, for an interrupt that it is enabled for.</summary>
    /// <param name="task">The vCPU's task, which holds <see cref="Mutex"/>.</param>
    /// <param name="subclasses">Guest subclasses that it is enabled for, 0x80 for subclass 0.</param>
    /// <returns>The subclass of the interrupt that it takes; -1 if user space wants the vCPU back.</returns>
    public ValueTask<int> WaitForInterruptAsync(KernelTask task, byte subclasses) => Machine.Gisa.WaitAsync(task, this, subclasses);

    /// <summary>Holds the vCPU out of SIE; waits for the instruction that it executes, never for its mutex.</summary>
    /// <param name="task">The task, which holds kvm->lock.</param>
    internal void Block(KernelTask task)
    {
        _kicks.Change(task, this, KvmGuards.Kicks)++;
        SpinWait wait = default;
        while (!_state.TryChange(Runtime, this, KvmFields.Sie, Out, Blocked))
            wait.SpinOnce(sleep1Threshold: -1);
    }

    internal void Unblock() => _state.Write(Runtime, this, KvmFields.Sie, Out);
}

using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;
using Apvirt.Kvm.Machines;

namespace Apvirt.Host.Guests;

/// <summary>
/// The threads of a guest's process: calls that are under way, vCPUs in the kernel, and how they are paused and stopped. A
/// process that ends begins no call any more, and ends when the last has returned.
/// </summary>
internal sealed class GuestThreads
{
    private readonly string _name;
    private readonly VirtualMachine _machine;
    private readonly Completion _returned;
    private readonly SharedState<State> _state;

    // Whoever waits to run waits for Resumed, which is another after each wake.
    private readonly record struct State(Completion Resumed, bool IsEnding, int Calls, int VcpusInKernel);

    /// <summary>Makes the threads of a new process.</summary>
    /// <param name="name">Name of the guest.</param>
    /// <param name="machine">The VM.</param>
    internal GuestThreads(string name, VirtualMachine machine)
    {
        _name = name;
        _machine = machine;
        _returned = new Completion(machine.Runtime, $"last call of {name}");
        _state = new SharedState<State>(this, GuestFields.Threads, new State(MakeResumed(), IsEnding: false, Calls: 0, VcpusInKernel: 0));
    }

    /// <summary>vCPUs in the kernel, which their files keep; for observers.</summary>
    internal int VcpusInKernel => Read().VcpusInKernel;

    /// <inheritdoc/>
    public override string ToString() => $"threads of {_name}";

    /// <summary>A thread begins a call; not if the process ends.</summary>
    internal bool TryEnter(KernelTask task)
    {
        using SharedState<State>.Section section = Count(task);
        if (section.Value.IsEnding)
            return false;
        section.Value = section.Value with { Calls = section.Value.Calls + 1 };
        return true;
    }

    /// <summary>The call has returned.</summary>
    internal void Leave(KernelTask task)
    {
        if (IsLastToLeave(task))
            _returned.CompleteAll();
    }

    private bool IsLastToLeave(KernelTask task)
    {
        using SharedState<State>.Section section = Count(task);
        section.Value = section.Value with { Calls = section.Value.Calls - 1 };
        return section.Value is { Calls: 0, IsEnding: true };
    }

    /// <summary>A vCPU enters the kernel to wait there; not if the process ends or the VM is gone. The process ends without it.</summary>
    internal bool TryEnterVcpu(KernelTask task)
    {
        if (!_machine.TryGet(task))
            return false;
        bool enters = TryCountVcpu(task);
        if (!enters)
            _machine.Put(task);
        return enters;
    }

    private bool TryCountVcpu(KernelTask task)
    {
        using SharedState<State>.Section section = Count(task);
        if (section.Value.IsEnding)
            return false;
        section.Value = section.Value with { VcpusInKernel = section.Value.VcpusInKernel + 1 };
        return true;
    }

    /// <summary>The vCPU is back.</summary>
    internal void LeaveVcpu(KernelTask task)
    {
        using (SharedState<State>.Section section = Count(task))
            section.Value = section.Value with { VcpusInKernel = section.Value.VcpusInKernel - 1 };
        _machine.Put(task);
    }

    /// <summary>Waits while the vCPUs are paused.</summary>
    /// <returns>False if the process ends.</returns>
    internal async ValueTask<bool> MayRunAsync(KernelTask task)
    {
        while (true)
        {
            // Looked at before the pause: who ends the pause afterwards completes it.
            State state = Read();
            if (state.IsEnding || !_machine.ArePaused)
                return !state.IsEnding;
            await state.Resumed.WaitAsync(task);
        }
    }

    /// <summary>Lets the vCPUs run again after a pause.</summary>
    internal void Resume(KernelTask task)
    {
        _machine.ResumeVcpus(task);
        Wake(task);
    }

    /// <summary>Stops the vCPUs and all other threads: what they have begun is ended first.</summary>
    internal async ValueTask StopAsync(KernelTask task)
    {
        if (!TryBeginEnd(task, out bool mustWait))
            return;
        _machine.PauseVcpus(task);
        Wake(task);
        if (mustWait)
            await _returned.WaitAsync(task);
    }

    private bool TryBeginEnd(KernelTask task, out bool mustWait)
    {
        using SharedState<State>.Section section = _state.Enter(task.Runtime, AccessKind.Write);
        bool isFirst = !section.Value.IsEnding;
        mustWait = section.Value.Calls > 0;
        section.Value = section.Value with { IsEnding = true };
        return isFirst;
    }

    // Whoever waits to run looks again.
    private void Wake(KernelTask task)
    {
        Completion next = MakeResumed();
        Completion resumed;
        using (SharedState<State>.Section section = _state.Enter(task.Runtime, AccessKind.Write))
        {
            resumed = section.Value.Resumed;
            section.Value = section.Value with { Resumed = next };
        }
        resumed.CompleteAll();
    }

    private Completion MakeResumed() => new(_machine.Runtime, $"{_name} resumes");

    private State Read()
    {
        using SharedState<State>.Section section = _state.Enter(_machine.Runtime, AccessKind.Read);
        return section.Value;
    }

    // Calls and vCPUs come and go in any order, which to each other is no change; that the process ends is what they see.
    private SharedState<State>.Section Count(KernelTask task) => _state.Enter(task.Runtime, AccessKind.Read);
}

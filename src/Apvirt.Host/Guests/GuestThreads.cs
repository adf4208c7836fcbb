using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;
using Apvirt.Kvm.Machines;

namespace Apvirt.Host.Guests;

/// <summary>
/// The threads of a guest's process: calls that are under way, vCPUs in the kernel, and how they are paused and stopped. A
/// process that ends begins no call any more, and ends when the last has returned.
/// </summary>
/// <param name="name">Name of the guest.</param>
/// <param name="machine">The VM.</param>
internal sealed class GuestThreads(string name, VirtualMachine machine)
{
    // Guards all that follows; a leaf.
    private readonly Lock _gate = new();
    private readonly Completion _returned = new();
    private Completion _resumed = new();
    private bool _isEnding;
    private int _calls;
    private int _vcpusInKernel;

    /// <summary>vCPUs in the kernel, which their files keep; for observers.</summary>
    internal int VcpusInKernel => _vcpusInKernel;

    /// <summary>A thread begins a call; not if the process ends.</summary>
    internal bool TryEnter(KernelTask task)
    {
        Touches(task, isWrite: false);
        lock (_gate)
        {
            _calls += _isEnding ? 0 : 1;
            return !_isEnding;
        }
    }

    /// <summary>The call has returned.</summary>
    internal void Leave(KernelTask task)
    {
        Touches(task, isWrite: false);
        bool isLast;
        lock (_gate)
            isLast = --_calls == 0 && _isEnding;
        if (isLast)
            _returned.CompleteAll();
    }

    /// <summary>A vCPU enters the kernel to wait there; not if the process ends or the VM is gone. The process ends without it.</summary>
    internal bool TryEnterVcpu(KernelTask task)
    {
        Touches(task, isWrite: false);
        if (!machine.TryGet(task))
            return false;
        bool enters;
        lock (_gate)
        {
            enters = !_isEnding;
            _vcpusInKernel += enters ? 1 : 0;
        }
        if (!enters)
            machine.Put(task);
        return enters;
    }

    /// <summary>The vCPU is back.</summary>
    internal void LeaveVcpu(KernelTask task)
    {
        lock (_gate)
            _vcpusInKernel--;
        machine.Put(task);
    }

    /// <summary>Waits while the vCPUs are paused.</summary>
    /// <returns>False if the process ends.</returns>
    internal async ValueTask<bool> MayRunAsync(KernelTask task)
    {
        while (true)
        {
            Completion resumed;
            lock (_gate)
            {
                if (_isEnding || !machine.ArePaused)
                    return !_isEnding;
                resumed = _resumed;
            }
            await resumed.WaitAsync(task);
        }
    }

    /// <summary>Lets the vCPUs run again after a pause.</summary>
    internal void Resume(KernelTask task)
    {
        machine.ResumeVcpus(task);
        Wake();
    }

    /// <summary>Stops the vCPUs and all other threads: what they have begun is ended first.</summary>
    internal async ValueTask StopAsync(KernelTask task)
    {
        Touches(task, isWrite: true);
        bool mustWait;
        lock (_gate)
        {
            if (_isEnding)
                return;
            _isEnding = true;
            mustWait = _calls > 0;
        }
        machine.PauseVcpus(task);
        Wake();
        if (mustWait)
            await _returned.WaitAsync(task);
    }

    // Whoever waits to run looks again.
    private void Wake()
    {
        Completion resumed;
        lock (_gate)
        {
            resumed = _resumed;
            _resumed = new Completion();
        }
        resumed.CompleteAll();
    }

    // Calls come and go in any order; that the process ends is what they see of each other.
    private void Touches(KernelTask task, bool isWrite)
    {
        if (task.HasPoints)
            task.Runtime.Touched($"calls of {name}", isWrite);
    }
}

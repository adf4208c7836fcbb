using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kvm.Protection;

/// <summary>A call of the ultravisor that can be made to fail.</summary>
public enum UltravisorCall
{
    /// <summary>Makes a secure VM.</summary>
    CreateVm,
    /// <summary>Makes a secure vCPU.</summary>
    CreateCpu,
    /// <summary>Destroys a secure vCPU.</summary>
    DestroyCpu,
}

/// <summary>The firmware that keeps the memory and the vCPUs of secure guests from the host (kvm.md §7).</summary>
/// <param name="hasAiv">Whether it virtualises adapter interrupts; without it a secure guest has no GISA.</param>
public sealed class Ultravisor(bool hasAiv)
{
    // By call: how many succeed before the one that fails, and with what. Guarded by _gate, a leaf.
    private readonly Dictionary<UltravisorCall, (int After, Errno Error)> _faults = [];
    private readonly Lock _gate = new();

    /// <summary>Whether it virtualises adapter interrupts.</summary>
    public bool HasAiv => hasAiv;

    /// <summary>Secure VMs that exist, those set aside included.</summary>
    public int Vms { get; private set; }

    /// <summary>Secure vCPUs that exist.</summary>
    public int Cpus { get; private set; }

    /// <summary>Lets a call fail once.</summary>
    /// <param name="call">The call.</param>
    /// <param name="after">How many calls succeed before, from 0.</param>
    /// <param name="error">How it fails.</param>
    public void Inject(UltravisorCall call, int after, Errno error)
    {
        lock (_gate)
            _faults[call] = (after, error);
    }

    internal Errno CreateVm(KernelTask task) => Do(task, UltravisorCall.CreateVm, vms: 1, cpus: 0);

    internal Errno CreateCpu(KernelTask task) => Do(task, UltravisorCall.CreateCpu, vms: 0, cpus: 1);

    internal Errno DestroyCpu(KernelTask task) => Do(task, UltravisorCall.DestroyCpu, vms: 0, cpus: -1);

    internal void DestroyVms(KernelTask task, int count)
    {
        Touches(task);
        lock (_gate)
            Vms -= count;
    }

    /// <summary>What a VM leaves that goes with vCPUs that could not be destroyed.</summary>
    internal void Forget(int cpus)
    {
        lock (_gate)
            Cpus -= cpus;
    }

    private Errno Do(KernelTask task, UltravisorCall call, int vms, int cpus)
    {
        Touches(task);
        lock (_gate)
        {
            if (_faults.TryGetValue(call, out (int After, Errno Error) fault))
            {
                if (fault.After == 0)
                {
                    _faults.Remove(call);
                    return fault.Error;
                }
                _faults[call] = (fault.After - 1, fault.Error);
            }
            Vms += vms;
            Cpus += cpus;
            return Errno.Ok;
        }
    }

    private static void Touches(KernelTask task)
    {
        if (task.HasPoints)
            task.Runtime.Touched("ultravisor", isWrite: true);
    }
}

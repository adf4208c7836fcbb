using System.Collections.Immutable;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
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
public sealed class Ultravisor
{
    private readonly KernelRuntime _runtime;
    private readonly SharedState<Book> _book;

    // What exists, and by call how many succeed before the one that fails, and with what.
    private readonly record struct Book(int Vms, int Cpus, ImmutableDictionary<UltravisorCall, (int After, Errno Error)> Faults);

    /// <summary>Makes an ultravisor without secure VMs.</summary>
    /// <param name="runtime">The runtime of those who call it.</param>
    /// <param name="hasAiv">Whether it virtualises adapter interrupts; without it a secure guest has no GISA.</param>
    public Ultravisor(KernelRuntime runtime, bool hasAiv)
    {
        _runtime = runtime;
        HasAiv = hasAiv;
        _book = new SharedState<Book>(this, KvmFields.Ultravisor, new Book(0, 0, ImmutableDictionary<UltravisorCall, (int After, Errno Error)>.Empty));
    }

    /// <summary>Whether it virtualises adapter interrupts.</summary>
    public bool HasAiv { get; }

    /// <summary>Secure VMs that exist, those set aside included.</summary>
    public int Vms => Read().Vms;

    /// <summary>Secure vCPUs that exist.</summary>
    public int Cpus => Read().Cpus;

    /// <summary>Lets a call fail once.</summary>
    /// <param name="call">The call.</param>
    /// <param name="after">How many calls succeed before, from 0.</param>
    /// <param name="error">How it fails.</param>
    public void Inject(UltravisorCall call, int after, Errno error)
    {
        using SharedState<Book>.Section section = _book.Enter(_runtime, AccessKind.Write);
        ref Book book = ref section.Value;
        book = book with { Faults = book.Faults.SetItem(call, (after, error)) };
    }

    /// <inheritdoc/>
    public override string ToString() => "ultravisor";

    internal Errno CreateVm(KernelTask task) => Do(task, UltravisorCall.CreateVm, vms: 1, cpus: 0);

    internal Errno CreateCpu(KernelTask task) => Do(task, UltravisorCall.CreateCpu, vms: 0, cpus: 1);

    internal Errno DestroyCpu(KernelTask task) => Do(task, UltravisorCall.DestroyCpu, vms: 0, cpus: -1);

    internal void DestroyVms(KernelTask task, int count) => Forget(task, count, cpus: 0);

    /// <summary>What a VM leaves that goes with vCPUs that could not be destroyed.</summary>
    internal void Forget(KernelTask task, int cpus) => Forget(task, vms: 0, cpus);

    private void Forget(KernelTask task, int vms, int cpus)
    {
        using SharedState<Book>.Section section = _book.Enter(task.Runtime, AccessKind.Write);
        ref Book book = ref section.Value;
        book = book with { Vms = book.Vms - vms, Cpus = book.Cpus - cpus };
    }

    private Errno Do(KernelTask task, UltravisorCall call, int vms, int cpus)
    {
        using SharedState<Book>.Section section = _book.Enter(task.Runtime, AccessKind.Write);
        ref Book book = ref section.Value;
        if (book.Faults.TryGetValue(call, out (int After, Errno Error) fault))
        {
            if (fault.After == 0)
            {
                book = book with { Faults = book.Faults.Remove(call) };
                return fault.Error;
            }
            book = book with { Faults = book.Faults.SetItem(call, (fault.After - 1, fault.Error)) };
        }
        book = book with { Vms = book.Vms + vms, Cpus = book.Cpus + cpus };
        return Errno.Ok;
    }

    private Book Read()
    {
        using SharedState<Book>.Section section = _book.Enter(_runtime, AccessKind.Read);
        return section.Value;
    }
}

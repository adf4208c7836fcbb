using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Crypto;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Interrupts;

namespace Apvirt.Kvm.Machines;

/// <summary>
/// A virtual machine as KVM has it (kvm.md §1). It lives as long as somebody holds a reference: its file, each open VFIO
/// device that captured it, the vfio_ap driver while attached.
/// </summary>
/// <remarks>Lock order: kvm->lock, then vcpu->mutex, then pqap_hook_rwsem, then what the hook takes.</remarks>
public sealed class VirtualMachine
{
    private static readonly LockClass KvmClass = new("kvm->lock", LockKind.Mutex);
    private static readonly LockClass HookClass = new("pqap_hook_rwsem", LockKind.RwSemaphore);

    private readonly Vcpu[] _vcpus;
    private int _references = 1;

    /// <summary>Makes a VM with one reference, that of its file.</summary>
    /// <param name="name">Name for reports.</param>
    /// <param name="hostHasApxa">Whether the machine has extended addressing; decides the format of the control block.</param>
    /// <param name="options">What it is made with.</param>
    public VirtualMachine(string name, bool hostHasApxa, VirtualMachineOptions options)
    {
        Name = name;
        Options = options;
        Format = !options.HasFacility76 || !options.HasAp ? CrycbFormat.Format0
            : hostHasApxa ? CrycbFormat.Format2
            : CrycbFormat.Format1;
        Gisa = new Gisa(options.HasGisa && options.HasAiv, designation: 0x2000);
        _vcpus = new Vcpu[options.VcpuCount];
        for (int i = 0; i < _vcpus.Length; i++)
            _vcpus[i] = new Vcpu(this, i);
    }

    /// <summary>Name for reports.</summary>
    public string Name { get; }

    /// <summary>What the VM was made with.</summary>
    public VirtualMachineOptions Options { get; }

    // kvm->lock, L15. Guards Apcb and the blocking of vCPUs.

    /// <summary>kvm->lock (L15).</summary>
    public KernelMutex Lock { get; } = new(KvmClass);

    /// <summary>What the guest's AP control block holds; written under <see cref="Lock"/> with all vCPUs out of SIE.</summary>
    public Apcb Apcb { get; private set; }

    // pqap_hook_rwsem, L17. Guards PqapHook.

    /// <summary>pqap_hook_rwsem (L17): held for write to change the hook, for read while it is called (M069).</summary>
    public KernelRwSemaphore HookLock { get; } = new(HookClass);

    /// <summary>Who handles intercepted AQIC instructions; null if nobody does.</summary>
    public IPqapHook? PqapHook { get; set; }

    /// <summary>Whether the VM has a crypto control block (M043).</summary>
    public bool HasCrycb => Options.HasAp;

    /// <summary>Format of the control block.</summary>
    public CrycbFormat Format { get; }

    /// <summary>Interrupt state of the guest.</summary>
    public Gisa Gisa { get; }

    /// <summary>The vCPUs.</summary>
    public IReadOnlyList<Vcpu> Vcpus => _vcpus;

    /// <summary>How often masks were set.</summary>
    public long SetMasksCount { get; private set; }

    /// <summary>How often masks were cleared.</summary>
    public long ClearMasksCount { get; private set; }

    /// <summary>References now; 0 means destroyed.</summary>
    public int References => Volatile.Read(ref _references);

    /// <summary>Takes a reference unless the VM is being destroyed.</summary>
    /// <returns>Whether the caller now has a reference.</returns>
    public bool TryGet()
    {
        while (true)
        {
            int now = Volatile.Read(ref _references);
            if (now == 0)
                return false;
            if (Interlocked.CompareExchange(ref _references, now + 1, now) == now)
                return true;
        }
    }

    /// <summary>Gives a reference back. The caller must not hold kvm->lock.</summary>
    /// <param name="task">The task.</param>
    public void Put(KernelTask task)
    {
        if (task.Holds(Lock))
            throw new InvalidOperationException($"reference to VM {Name} given back with kvm->lock held");
        if (Interlocked.Decrement(ref _references) < 0)
            throw new InvalidOperationException($"more references to VM {Name} given back than taken");
    }

    /// <summary>Whether an address is backed by guest memory.</summary>
    /// <param name="address">Guest address.</param>
    public bool IsBacked(ulong address) => address < Options.MemoryBytes;

    /// <summary>Writes the masks that the guest's AP instructions are checked against (kvm.md §3, M061).</summary>
    /// <param name="task">The task, which holds kvm->lock.</param>
    /// <param name="apm">Adapters.</param>
    /// <param name="aqm">Usage domains.</param>
    /// <param name="adm">Control domains.</param>
    public void SetMasks(KernelTask task, in ApMask apm, in ApMask aqm, in ApMask adm)
    {
        SetMasksCount++;
        Write(task, new Apcb(apm, aqm, adm).Truncate(Format));
    }

    /// <summary>Takes all adapters and domains from the guest.</summary>
    /// <param name="task">The task, which holds kvm->lock.</param>
    public void ClearMasks(KernelTask task)
    {
        ClearMasksCount++;
        Write(task, default);
    }

    /// <inheritdoc/>
    public override string ToString() => Name;

    private void Write(KernelTask task, in Apcb apcb)
    {
        if (Lock.Owner != task)
            throw new InvalidOperationException($"masks of VM {Name} changed without kvm->lock");
        foreach (Vcpu vcpu in _vcpus)
            vcpu.Block();
        Apcb = apcb;
        foreach (Vcpu vcpu in _vcpus)
            vcpu.Unblock();
    }
}

using System.Collections.Immutable;
using Apvirt.Ap.Architecture;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Crypto;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Interrupts;
using Apvirt.Kvm.Protection;

namespace Apvirt.Kvm.Machines;

/// <summary>
/// A virtual machine as KVM has it (kvm.md §1). It lives as long as somebody holds a reference: its file, each open VFIO
/// device that captured it, the vfio_ap driver while attached.
/// </summary>
/// <remarks>Lock order: kvm->lock, then vcpu->mutex, then pqap_hook_rwsem, then what the hook takes.</remarks>
public sealed class VirtualMachine
{
    private readonly ImmutableArray<Vcpu> _vcpus;
    private RefCount _references = new(1);
    private Shared<object?> _addressSpace;
    private Guarded<GuestMasks> _masks;
    private Guarded<IPqapHook?> _pqapHook;
    private Guarded<bool> _usesZpci;
    private Guarded<int> _lockedPages;
    private Guarded<ImmutableArray<string>> _devices = new([]);
    private Guarded<ImmutableArray<IAssociatedFunction>> _functions = new([]);

    // What the control block holds, and how often it was written and cleared.
    private readonly record struct GuestMasks(Apcb Apcb, long Sets, long Clears);

    /// <summary>Makes a VM with one reference, that of its file.</summary>
    /// <param name="runtime">The runtime of those who use it.</param>
    /// <param name="name">Name for reports.</param>
    /// <param name="hostHasApxa">Whether the machine has extended addressing; decides the format of the control block.</param>
    /// <param name="options">What it is made with.</param>
    public VirtualMachine(KernelRuntime runtime, string name, bool hostHasApxa, VirtualMachineOptions options)
    {
        Runtime = runtime;
        Name = name;
        Options = options;
        Format = !options.HasFacility76 || !options.HasAp ? CrycbFormat.Format0
            : hostHasApxa ? CrycbFormat.Format2
            : CrycbFormat.Format1;
        Lock = new KernelMutex(KvmClass, owner: this);
        HookLock = new KernelRwSemaphore(HookClass, owner: this);
        FunctionsLock = new KernelSpinLock(FunctionsClass, owner: this);
        Gisa = new Gisa(runtime, $"gisa of {name}", options.HasGisa && options.HasAiv, options.GisaDesignation);
        Protection = new SecureExecution(this, options.Ultravisor);
        _vcpus = [.. Enumerable.Range(0, options.VcpuCount).Select(index => new Vcpu(this, index))];
        Vcpus = _vcpus;
    }

    /// <summary>Class of <see cref="Lock"/>.</summary>
    public static LockClass KvmClass { get; } = new("kvm->lock", LockKind.Mutex);

    internal static readonly LockClass FunctionsClass = new("kzdev_list_lock", LockKind.Spin);

    /// <summary>Class of <see cref="HookLock"/>.</summary>
    public static LockClass HookClass { get; } = new("pqap_hook_rwsem", LockKind.RwSemaphore);

    /// <summary>The address space (mm) of the process that made the VM and that its memory is in; null if it is not told.</summary>
    public object? AddressSpace
    {
        get => _addressSpace.Read(Runtime, this, KvmFields.AddressSpace);
        set => _addressSpace.Write(Runtime, this, KvmFields.AddressSpace, value);
    }

    /// <summary>The runtime of those who use it.</summary>
    public KernelRuntime Runtime { get; }

    /// <summary>Name for reports.</summary>
    public string Name { get; }

    /// <summary>What the VM was made with.</summary>
    public VirtualMachineOptions Options { get; }

    // kvm->lock, L15. Guards Apcb, UsesZpci and the blocking of vCPUs.

    /// <summary>kvm->lock (L15).</summary>
    public KernelMutex Lock { get; }

    /// <summary>What the guest's AP control block holds; written under <see cref="Lock"/> with all vCPUs out of SIE.</summary>
    public Apcb Apcb => _masks.Glance(Runtime, this, KvmGuards.Apcb).Apcb;

    // kzdev_list_lock, L26, a leaf. Guards _functions.
    internal KernelSpinLock FunctionsLock { get; }

    /// <summary>Whether the guest's PCI instructions are interpreted: from the first function on, for good.</summary>
    public bool UsesZpci => _usesZpci.Glance(Runtime, this, KvmGuards.Zpci);

    /// <summary>The PCI functions that the VM uses, for observers.</summary>
    public IReadOnlyList<IAssociatedFunction> Functions => _functions.Glance(Runtime, this, KvmGuards.Functions);

    // pqap_hook_rwsem, L17. Guards PqapHook.

    /// <summary>pqap_hook_rwsem (L17): held for write to change the hook, for read while it is called (M069).</summary>
    public KernelRwSemaphore HookLock { get; }

    /// <summary>Who handles intercepted AQIC instructions, for observers; null if nobody does.</summary>
    public IPqapHook? PqapHook => _pqapHook.Glance(Runtime, this, KvmGuards.PqapHook);

    /// <summary>Whether the VM has a crypto control block (M043).</summary>
    public bool HasCrycb => Options.HasAp;

    /// <summary>Format of the control block.</summary>
    public CrycbFormat Format { get; }

    /// <summary>Interrupt state of the guest.</summary>
    public Gisa Gisa { get; }

    /// <summary>Secure execution.</summary>
    public SecureExecution Protection { get; }

    /// <summary>The vCPUs.</summary>
    public IReadOnlyList<Vcpu> Vcpus { get; }

    /// <summary>How often masks were set, for observers.</summary>
    public long SetMasksCount => _masks.Glance(Runtime, this, KvmGuards.Apcb).Sets;

    /// <summary>How often masks were cleared, for observers.</summary>
    public long ClearMasksCount => _masks.Glance(Runtime, this, KvmGuards.Apcb).Clears;

    /// <summary>References now; 0 means destroyed.</summary>
    public int References => _references.Read(Runtime, this, KvmFields.References);

    /// <summary>Takes a reference unless the VM is being destroyed.</summary>
    /// <param name="task">The task.</param>
    /// <returns>Whether the caller now has a reference.</returns>
    public bool TryGet(KernelTask task) => _references.TryGet(task.Runtime, this, KvmFields.References);

    /// <summary>Gives a reference back; the last one ends the VM. The caller must not hold kvm->lock.</summary>
    /// <param name="task">The task.</param>
    public void Put(KernelTask task)
    {
        if (task.Holds(Lock))
            Refuse(task, $"a reference to VM {Name} is given back with kvm->lock held");
        int left = _references.Put(task.Runtime, this, KvmFields.References);
        if (left < 0)
            Refuse(task, $"more references to VM {Name} are given back than were taken");
        else if (left == 0)
            Destroy(task);
    }

    /// <summary>Who handles intercepted AQIC instructions; null if nobody does.</summary>
    /// <param name="task">The task, which holds pqap_hook_rwsem.</param>
    public IPqapHook? ReadPqapHook(KernelTask task) => _pqapHook.Read(task, this, KvmGuards.PqapHook);

    /// <summary>Changes who handles intercepted AQIC instructions.</summary>
    /// <param name="task">The task, which holds kvm->lock and pqap_hook_rwsem for write.</param>
    /// <param name="hook">The handler; null for nobody.</param>
    public void SetPqapHook(KernelTask task, IPqapHook? hook)
    {
        AssertAlive(task, "its hook is set");
        _pqapHook.Write(task, this, KvmGuards.PqapHook, hook);
    }

    /// <summary>User space wants all vCPUs back: those that wait for an interrupt return, others do not begin to (QEMU's pausing).</summary>
    /// <param name="task">The task.</param>
    public void PauseVcpus(KernelTask task) => Gisa.HoldOut(task);

    /// <summary>Whether user space has paused the vCPUs.</summary>
    public bool ArePaused => Gisa.AreHeldOut;

    /// <summary>Lets vCPUs wait again; as often as they were paused.</summary>
    /// <param name="task">The task.</param>
    public void ResumeVcpus(KernelTask task) => Gisa.LetIn(task);

    /// <summary>Gives the VM a device that it can have one of.</summary>
    /// <param name="task">The task, which holds kvm->lock.</param>
    /// <param name="kind">What it is.</param>
    /// <returns>False if it has one.</returns>
    public bool TryAddDevice(KernelTask task, string kind)
    {
        ImmutableArray<string> devices = _devices.Read(task, this, KvmGuards.Devices);
        if (devices.Contains(kind, StringComparer.Ordinal))
            return false;
        _devices.Write(task, this, KvmGuards.Devices, devices.Add(kind));
        return true;
    }

    /// <summary>Takes a device away.</summary>
    /// <param name="task">The task, which holds kvm->lock.</param>
    /// <param name="kind">What it is.</param>
    public void RemoveDevice(KernelTask task, string kind) =>
        _devices.Write(task, this, KvmGuards.Devices, _devices.Read(task, this, KvmGuards.Devices).Remove(kind, StringComparer.Ordinal));

    /// <summary>Lets the guest's PCI instructions be interpreted from now on: once, with all vCPUs out of SIE.</summary>
    /// <param name="task">The task, which holds kvm->lock.</param>
    public void UseZpci(KernelTask task)
    {
        if (_usesZpci.Read(task, this, KvmGuards.Zpci))
            return;
        BlockVcpus(task);
        _usesZpci.Write(task, this, KvmGuards.Zpci, true);
        UnblockVcpus(task);
    }

    /// <summary>Guest pages that PCI functions keep in place, for observers.</summary>
    public int LockedPages => _lockedPages.Glance(Runtime, this, KvmGuards.Zpci);

    /// <summary>Counts guest pages that are to stay in place.</summary>
    /// <param name="task">The task, which holds kvm->lock.</param>
    /// <param name="pages">Number of pages; negative to give them back.</param>
    /// <returns>ENOMEM beyond what the process may lock; nothing is counted then.</returns>
    public Errno LockPages(KernelTask task, int pages)
    {
        ref int locked = ref _lockedPages.Change(task, this, KvmGuards.Zpci);
        if (locked + pages > Options.LockedPagesMax)
            return Errno.ENOMEM;
        locked += pages;
        return Errno.Ok;
    }

    /// <summary>Puts a PCI function on the VM's list, where operations find it by its handle.</summary>
    /// <param name="task">The task.</param>
    /// <param name="function">The function.</param>
    public void AddFunction(KernelTask task, IAssociatedFunction function)
    {
        using KernelSpinLock.Section section = FunctionsLock.Lock(task);
        ref ImmutableArray<IAssociatedFunction> functions = ref _functions.Change(task, this, KvmGuards.Functions);
        functions = functions.Add(function);
    }

    /// <summary>Takes a PCI function off the VM's list.</summary>
    /// <param name="task">The task.</param>
    /// <param name="function">The function.</param>
    public void RemoveFunction(KernelTask task, IAssociatedFunction function)
    {
        using KernelSpinLock.Section section = FunctionsLock.Lock(task);
        ref ImmutableArray<IAssociatedFunction> functions = ref _functions.Change(task, this, KvmGuards.Functions);
        functions = functions.Remove(function);
    }

    /// <summary>Finds a PCI function of the VM. It may be gone from the VM when this returns: whoever uses it looks again under its lock.</summary>
    /// <param name="task">The task.</param>
    /// <param name="handle">The handle.</param>
    public IAssociatedFunction? FindFunction(KernelTask task, uint handle)
    {
        using KernelSpinLock.Section section = FunctionsLock.Lock(task);
        return _functions.Read(task, this, KvmGuards.Functions).FirstOrDefault(function => function.ReadHandle(task) == handle);
    }

    /// <summary>Whether an address is backed by guest memory.</summary>
    /// <param name="address">Guest address.</param>
    public bool IsBacked(ulong address) => address < Options.MemoryBytes;

    /// <summary>Writes the masks that the guest's AP instructions are checked against (kvm.md §3, M061).</summary>
    /// <param name="task">The task, which holds kvm->lock.</param>
    /// <param name="apm">Adapters.</param>
    /// <param name="aqm">Usage domains.</param>
    /// <param name="adm">Control domains.</param>
    public void SetMasks(KernelTask task, in ApMask apm, in ApMask aqm, in ApMask adm) =>
        Write(task, new Apcb(apm, aqm, adm).Truncate(Format), sets: 1, clears: 0);

    /// <summary>Takes all adapters and domains from the guest.</summary>
    /// <param name="task">The task, which holds kvm->lock.</param>
    public void ClearMasks(KernelTask task) => Write(task, default, sets: 0, clears: 1);

    /// <inheritdoc/>
    public override string ToString() => Name;

    private void Write(KernelTask task, in Apcb apcb, int sets, int clears)
    {
        if (!task.Holds(Lock))
            Refuse(task, $"masks of VM {Name} are changed without kvm->lock");
        AssertAlive(task, "its masks are changed");
        BlockVcpus(task);
        ref GuestMasks masks = ref _masks.Change(task, this, KvmGuards.Apcb);
        masks = new GuestMasks(apcb, masks.Sets + sets, masks.Clears + clears);
        UnblockVcpus(task);
    }

    private void BlockVcpus(KernelTask task)
    {
        task.Runtime.EntersSection();
        foreach (Vcpu vcpu in _vcpus)
            vcpu.Block(task);
    }

    private void UnblockVcpus(KernelTask task)
    {
        foreach (Vcpu vcpu in _vcpus)
            vcpu.Unblock();
        task.Runtime.LeavesSection();
    }

    // Nobody has a reference, so nobody may have anything else of the VM (I16, I22).
    private void Destroy(KernelTask task)
    {
        Protection.End(task);
        Gisa.End();
        Lock.Retire(task);
        HookLock.Retire(task);
        foreach (Vcpu vcpu in _vcpus)
            vcpu.Mutex.Retire(task);
        if (task.Checks is null)
            return;
        if (PqapHook is not null)
            Report(task, $"VM {Name} is destroyed with a PQAP hook");
        if (Apcb != default)
            Report(task, $"VM {Name} is destroyed with queues plugged");
        if (Functions.Count > 0)
            Report(task, $"VM {Name} is destroyed with {Functions.Count} PCI functions");
        if (Gisa.Counts.Any(count => count != 0))
            task.Checks.Report(task, ViolationKind.Lifetime, "I22", $"VM {Name} is destroyed with ISC references {string.Join(' ', Gisa.Counts)}");
    }

    private void AssertAlive(KernelTask task, string use)
    {
        if (task.Checks is not null && References == 0)
            Report(task, $"VM {Name} is destroyed and {use}");
    }

    private static void Refuse(KernelTask task, string what)
    {
        if (task.Checks is null)
            throw new InvalidOperationException(what);
        Report(task, what);
    }

    private static void Report(KernelTask task, string what) =>
        task.Checks!.Report(task, ViolationKind.Lifetime, "I16", what);
}

using System.Collections.Immutable;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;

namespace Apvirt.VfioPci.Zpci;

/// <summary>Where one summary bit leads.</summary>
/// <param name="Machine">The VM.</param>
/// <param name="Gisa">Its designation, 0 if every interrupt goes through the host.</param>
/// <param name="Subclass">The guest's interruption subclass.</param>
/// <param name="Count">Functions that use the entry.</param>
public readonly record struct ForwardingEntry(VirtualMachine? Machine, uint Gisa, int Subclass, int Count);

/// <summary>A step of turning forwarding on that can be made to fail (zpci.md §2).</summary>
public enum ForwardingInitStep
{
    /// <summary>Allocating the table of functions.</summary>
    AllocateTable,
    /// <summary>The first time: allocating the parameter block, the summary vector and the pages of the table.</summary>
    AllocatePages,
    /// <summary>The first time: telling the firmware.</summary>
    SetControls,
    /// <summary>Enabling the floating interrupt.</summary>
    EnableInterrupt,
}

/// <summary>What forwarding has.</summary>
/// <param name="IsEnabled">Whether it is on.</param>
/// <param name="Subclass">The host's subclass that the firmware has; null before the first time.</param>
internal readonly record struct ForwardingRegistration(bool IsEnabled, int? Subclass);

/// <summary>The adapter interrupt forwarding table of a machine: summary bits, and which guest each belongs to (zpci.md §1, §5).</summary>
/// <remarks>Lock order: kvm->lock, aift_lock, gait_lock. The interrupt path takes gait_lock alone.</remarks>
public sealed class AdapterInterruptTable
{
    /// <summary>Number of summary bits.</summary>
    public const int Bits = 64;

    internal static readonly LockClass AiftClass = new("aift_lock", LockKind.Mutex);
    internal static readonly LockClass GaitClass = new("gait_lock", LockKind.Spin);

    private readonly KernelRuntime _runtime;

    // A bit for each step that shall fail.
    private Shared<int> _faults;

    /// <summary>Makes a table that forwards nothing.</summary>
    /// <param name="runtime">The runtime of those who use it.</param>
    public AdapterInterruptTable(KernelRuntime runtime)
    {
        _runtime = runtime;
        Lock = new KernelMutex(AiftClass, owner: this);
        EntryLock = new KernelSpinLock(GaitClass, owner: this);
    }

    // aift_lock, L24. Guards _used and _registration.
    internal KernelMutex Lock { get; }

    private Guarded<ulong> _used;
    private Guarded<ForwardingRegistration> _registration;

    // gait_lock, L25, a leaf. Guards _entries.
    internal KernelSpinLock EntryLock { get; }

    private Guarded<ImmutableArray<ForwardingEntry>> _entries = new([.. new ForwardingEntry[Bits]]);

    /// <summary>Whether forwarding is on, for observers.</summary>
    public bool IsEnabled => _registration.Glance(_runtime, this, ForwardingGuards.Summary).IsEnabled;

    /// <summary>Whether the firmware knows the table, for observers: from the first time on, for good.</summary>
    public bool IsRegistered => _registration.Glance(_runtime, this, ForwardingGuards.Summary).Subclass is not null;

    /// <summary>Lets a step of the next <see cref="EnableAsync"/> fail, once.</summary>
    /// <param name="step">The step.</param>
    public void Inject(ForwardingInitStep step) => _faults.Update(_runtime, this, PciFields.ForwardingFaults, 1 << (int)step, static (faults, bit) => faults | bit);

    /// <summary>Turns forwarding on, as KVM does when it is loaded (zpci.md §2).</summary>
    /// <param name="task">The task.</param>
    /// <param name="subclass">The host's subclass for it, 0 to 7.</param>
    /// <returns>EPERM if it is on, ENOMEM, EINVAL if the firmware has another subclass from an earlier time, EIO.</returns>
    public async ValueTask<Errno> EnableAsync(KernelTask task, int subclass)
    {
        await Lock.LockAsync(task);
        ForwardingRegistration before = _registration.Read(task, this, ForwardingGuards.Summary);
        Errno error = before.IsEnabled ? Errno.EPERM
            : Fails(task, ForwardingInitStep.AllocateTable) ? Errno.ENOMEM
            : before.Subclass is { } known ? (known == subclass ? Errno.Ok : Errno.EINVAL)
            : Fails(task, ForwardingInitStep.AllocatePages) ? Errno.ENOMEM
            : Fails(task, ForwardingInitStep.SetControls) ? Errno.EIO
            : Errno.Ok;
        if (error == Errno.Ok)
        {
            error = Fails(task, ForwardingInitStep.EnableInterrupt) ? Errno.EIO : Errno.Ok;
            // What the firmware was told stays.
            _registration.Write(task, this, ForwardingGuards.Summary, new ForwardingRegistration(error == Errno.Ok, subclass));
        }
        Lock.Unlock(task);
        return error;
    }

    /// <summary>Turns forwarding off, as KVM does when it is unloaded; no VM is left then.</summary>
    /// <param name="task">The task.</param>
    public async ValueTask DisableAsync(KernelTask task)
    {
        await Lock.LockAsync(task);
        _registration.Write(task, this, ForwardingGuards.Summary, _registration.Read(task, this, ForwardingGuards.Summary) with { IsEnabled = false });
        Lock.Unlock(task);
    }

    /// <summary>Summary bits in use, for observers.</summary>
    public ulong Used => _used.Glance(_runtime, this, ForwardingGuards.Summary);

    /// <summary>An entry, for observers.</summary>
    /// <param name="bit">The summary bit.</param>
    public ForwardingEntry Entry(int bit) => _entries.Glance(_runtime, this, ForwardingGuards.Entries)[bit];

    /// <inheritdoc/>
    public override string ToString() => "forwarding table";

    /// <summary>An adapter has set a summary bit: the guest that it belongs to is interrupted. Takes no lock of a VM.</summary>
    /// <param name="task">The interrupt's task.</param>
    /// <param name="bit">The summary bit.</param>
    /// <returns>The VM that was interrupted; null if nobody uses the bit, or the guest wants no interrupt now.</returns>
    public VirtualMachine? Deliver(KernelTask task, int bit)
    {
        using KernelSpinLock.Section section = EntryLock.Lock(task);
        ForwardingEntry entry = _entries.Read(task, this, ForwardingGuards.Entries)[bit];
        if (entry.Count == 0 || entry.Machine is not { } machine)
            return null;
        // I37: the entry goes under this lock before the association does, and that keeps the VM.
        if (task.Checks is { } checks && machine.References == 0)
            checks.Report(task, ViolationKind.Lifetime, "I37", $"an interrupt is forwarded to VM {machine}, which is destroyed");
        if (!machine.Gisa.Passes(task, entry.Subclass))
            return null;
        machine.Gisa.Pend(task, entry.Subclass, throughHost: entry.Gisa == 0);
        return machine;
    }

    /// <summary>Takes a free bit, with <see cref="Lock"/> held.</summary>
    /// <returns>-1 if there is none.</returns>
    internal int Take(KernelTask task)
    {
        ref ulong used = ref _used.Change(task, this, ForwardingGuards.Summary);
        int bit = System.Numerics.BitOperations.TrailingZeroCount(~used);
        if (bit == Bits)
            return -1;
        used |= 1UL << bit;
        return bit;
    }

    internal void Free(KernelTask task, int bit) => _used.Change(task, this, ForwardingGuards.Summary) &= ~(1UL << bit);

    internal void Set(KernelTask task, int bit, in ForwardingEntry entry)
    {
        using KernelSpinLock.Section section = EntryLock.Lock(task);
        ref ImmutableArray<ForwardingEntry> entries = ref _entries.Change(task, this, ForwardingGuards.Entries);
        entries = entries.SetItem(bit, entry);
    }

    private bool Fails(KernelTask task, ForwardingInitStep step)
    {
        int bit = 1 << (int)step;
        int faults;
        do
        {
            faults = _faults.Read(task.Runtime, this, PciFields.ForwardingFaults);
            if ((faults & bit) == 0)
                return false;
        }
        while (!_faults.TryChange(task.Runtime, this, PciFields.ForwardingFaults, faults, faults & ~bit));
        return true;
    }
}

/// <summary>The guard table of interrupt forwarding (locking.md §2).</summary>
public static class ForwardingGuards
{
    /// <summary>Which summary bits are in use, and what the firmware was told.</summary>
    internal static GuardRule<AdapterInterruptTable> Summary { get; } = new(
        "aift summary bits, registration", write: [new(AdapterInterruptTable.AiftClass, table => table.Lock)]);

    /// <summary>Where each summary bit leads.</summary>
    internal static GuardRule<AdapterInterruptTable> Entries { get; } = new(
        "gait entries", write: [new(AdapterInterruptTable.GaitClass, table => table.EntryLock)]);

    /// <summary>All rules.</summary>
    public static IReadOnlyList<GuardRule> All { get; } = [Summary, Entries];
}

using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;

namespace Apvirt.VfioPci.Vgpu;

/// <summary>The graphics adapter that its vGPUs are parts of: it knows which of them are in use.</summary>
/// <param name="profile">Whose quirks apply.</param>
public sealed class GvtAdapter(Profile profile)
{
    internal static readonly LockClass GvtClass = new("gvt->lock", LockKind.Mutex);

    // gvt->lock, L32. Guards _attached.
    internal KernelMutex Lock { get; } = new(GvtClass);

    private Guarded<List<GvtDevice>> _attached = new([]);

    /// <summary>The vGPUs in use, for observers.</summary>
    public IReadOnlyList<GvtDevice> Attached => _attached.Peek;

    /// <inheritdoc/>
    public override string ToString() => "graphics adapter";

    internal async ValueTask<Errno> AttachAsync(KernelTask task, GvtDevice device, VirtualMachine machine)
    {
        await Lock.LockAsync(task);
        bool isTaken = _attached.Read(task, this, GvtGuards.Attached).Exists(other => other == device || other.Tracked == machine);
        // F20: in 6.12 looking and taking are not one critical section.
        if (profile.Has(Quirk.LooksThenTakes))
        {
            Lock.Unlock(task);
            await Lock.LockAsync(task);
        }
        if (!isTaken)
        {
            List<GvtDevice> attached = _attached.Change(task, this, GvtGuards.Attached);
            if (task.Checks is not null && attached.Exists(other => other.Tracked == machine))
                Report(task, machine);
            attached.Add(device);
        }
        Lock.Unlock(task);
        return isTaken ? Errno.EEXIST : Errno.Ok;
    }

    internal async ValueTask DetachAsync(KernelTask task, GvtDevice device)
    {
        await Lock.LockAsync(task);
        _attached.Change(task, this, GvtGuards.Attached).Remove(device);
        Lock.Unlock(task);
    }

    // M089
    private void Report(KernelTask task, VirtualMachine machine) =>
        task.Checks!.Violations.Add(new Violation(ViolationKind.Invariant, "M089", $"a second vGPU is attached for VM {machine}", task.Name)
        {
            Finding = profile.Has(Quirk.LooksThenTakes) ? Quirk.LooksThenTakes.Finding() : null,
        });
}

/// <summary>The guard table of vGPUs (locking.md §2).</summary>
public static class GvtGuards
{
    /// <summary>The vGPUs in use.</summary>
    internal static GuardRule<GvtAdapter> Attached { get; } = new("gvt attached vGPUs", write: [new(GvtAdapter.GvtClass, gvt => gvt.Lock)]);

    /// <summary>The DMA mappings of a vGPU.</summary>
    internal static GuardRule<GvtDevice> Cache { get; } = new("vgpu DMA cache, active, msi trigger", write: [new(GvtDevice.CacheClass, vgpu => vgpu.CacheLock)]);

    /// <summary>All rules.</summary>
    public static IReadOnlyList<GuardRule> All { get; } = [Attached, Cache];
}

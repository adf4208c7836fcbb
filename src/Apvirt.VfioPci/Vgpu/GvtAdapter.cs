using System.Collections.Immutable;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;

namespace Apvirt.VfioPci.Vgpu;

/// <summary>The graphics adapter that its vGPUs are parts of: it knows which of them are in use.</summary>
public sealed class GvtAdapter
{
    internal static readonly LockClass GvtClass = new("gvt->lock", LockKind.Mutex);

    private readonly string _name;
    private readonly Profile _profile;

    private Guarded<ImmutableArray<GvtDevice>> _attached = new([]);

    /// <summary>Makes an adapter of which nothing is in use.</summary>
    /// <param name="runtime">The runtime of those who use it.</param>
    /// <param name="name">Name for reports.</param>
    /// <param name="profile">Whose quirks apply.</param>
    public GvtAdapter(KernelRuntime runtime, string name, Profile profile)
    {
        Runtime = runtime;
        _name = name;
        _profile = profile;
        Lock = new KernelMutex(GvtClass, owner: this);
    }

    // gvt->lock, L32. Guards _attached.
    internal KernelMutex Lock { get; }

    internal KernelRuntime Runtime { get; }

    /// <summary>The vGPUs in use, for observers.</summary>
    public IReadOnlyList<GvtDevice> Attached => _attached.Glance(Runtime, this, GvtGuards.Attached);

    /// <summary>The module of the vGPUs' driver.</summary>
    public DriverModule Module { get; } = new("kvmgt");

    /// <inheritdoc/>
    public override string ToString() => _name;

    internal async ValueTask<Errno> AttachAsync(KernelTask task, GvtDevice device, VirtualMachine machine)
    {
        await Lock.LockAsync(task);
        bool isTaken = _attached.Read(task, this, GvtGuards.Attached).Any(other => other == device || other.Tracked == machine);
        // F20: in 6.12 looking and taking are not one critical section.
        if (_profile.Deviates(task, Quirk.LooksThenTakes))
        {
            Lock.Unlock(task);
            await Lock.LockAsync(task);
        }
        if (!isTaken)
        {
            ImmutableArray<GvtDevice> attached = _attached.Read(task, this, GvtGuards.Attached);
            if (task.Checks is not null && attached.Any(other => other.Tracked == machine))
                Report(task, machine);
            _attached.Write(task, this, GvtGuards.Attached, attached.Add(device));
        }
        Lock.Unlock(task);
        return isTaken ? Errno.EEXIST : Errno.Ok;
    }

    internal async ValueTask DetachAsync(KernelTask task, GvtDevice device)
    {
        await Lock.LockAsync(task);
        _attached.Write(task, this, GvtGuards.Attached, _attached.Read(task, this, GvtGuards.Attached).Remove(device));
        Lock.Unlock(task);
    }

    // M089
    private static void Report(KernelTask task, VirtualMachine machine) =>
        task.Checks!.Report(task, ViolationKind.Invariant, "M089", $"a second vGPU is attached for VM {machine}");
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

using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;

namespace Apvirt.VfioPci.Vgpu;

/// <summary>The graphics adapter that its vGPUs are parts of: it knows which of them are in use.</summary>
/// <param name="looksAndTakesAtOnce">Whether looking for another vGPU of a VM and taking its place is one critical section; in 6.12 it is not (F20).</param>
public sealed class GvtAdapter(bool looksAndTakesAtOnce = true)
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
        if (!looksAndTakesAtOnce)
        {
            Lock.Unlock(task);
            await Lock.LockAsync(task);
        }
        if (!isTaken)
            _attached.Change(task, this, GvtGuards.Attached).Add(device);
        Lock.Unlock(task);
        return isTaken ? Errno.EEXIST : Errno.Ok;
    }

    internal async ValueTask DetachAsync(KernelTask task, GvtDevice device)
    {
        await Lock.LockAsync(task);
        _attached.Change(task, this, GvtGuards.Attached).Remove(device);
        Lock.Unlock(task);
    }
}

/// <summary>The guard table of vGPUs (locking.md §2).</summary>
public static class GvtGuards
{
    /// <summary>The vGPUs in use.</summary>
    internal static GuardRule<GvtAdapter> Attached { get; } = new("gvt attached vGPUs", write: [new(GvtAdapter.GvtClass, gvt => gvt.Lock)]);

    /// <summary>All rules.</summary>
    public static IReadOnlyList<GuardRule> All { get; } = [Attached];
}

/// <summary>
/// A vGPU, which needs a VM, one to each VM, and tracks the pages of the VM that it was opened with (vfio.md §11, M088 to
/// M091).
/// </summary>
/// <param name="adapter">The adapter.</param>
public sealed class GvtDevice(GvtAdapter adapter) : IVfioDriver
{
    private readonly Dictionary<ulong, ulong> _cache = [];

    /// <summary>The registered device; to be set before it is offered.</summary>
    public VfioDevice Device { get; set; } = null!;

    /// <summary>The VM whose address space opens the device; the opener's own if it is the device's.</summary>
    public VirtualMachine? OpenerMachine { get; set; }

    /// <summary>The VM whose pages are tracked; it holds a reference. Null while closed.</summary>
    public VirtualMachine? Tracked { get; private set; }

    /// <inheritdoc/>
    public int MachineReferences => Tracked is null ? 0 : 1;

    /// <summary>Pages in the cache of DMA mappings.</summary>
    public int CachedPages => _cache.Count;

    /// <inheritdoc/>
    public async ValueTask<Errno> OpenDeviceAsync(KernelTask task)
    {
        VirtualMachine? machine = Device.Kvm;
        if (machine is null || (OpenerMachine is not null && OpenerMachine != machine))
            return Errno.ESRCH;
        Tracked = machine;
        Errno error = await adapter.AttachAsync(task, this, machine);
        if (error == Errno.Ok && !machine.TryGet(task))
        {
            await adapter.DetachAsync(task, this);
            error = Errno.ESRCH;
        }
        if (error != Errno.Ok)
            Tracked = null;
        return error;
    }

    /// <inheritdoc/>
    public async ValueTask CloseDeviceAsync(KernelTask task)
    {
        foreach (ulong iova in _cache.Keys.ToArray())
            await UnpinAsync(task, iova);
        await adapter.DetachAsync(task, this);
        VirtualMachine tracked = Tracked!;
        Tracked = null;
        tracked.Put(task);
    }

    /// <summary>The guest's driver uses a page: it is pinned and remembered.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">An address in the page.</param>
    /// <returns>What pinning answers.</returns>
    public async ValueTask<Errno> MapPageAsync(KernelTask task, ulong iova)
    {
        if (_cache.ContainsKey(iova))
            return Errno.Ok;
        Errno error = await Device.Pins.PinAsync(task, iova);
        if (error == Errno.Ok)
            _cache[iova] = iova;
        return error;
    }

    /// <inheritdoc/>
    public async ValueTask DmaUnmapAsync(KernelTask task, ulong iova, ulong length)
    {
        foreach (ulong page in _cache.Keys.Where(page => page >= iova && page - iova < length).ToArray())
            await UnpinAsync(task, page);
    }

    /// <inheritdoc/>
    public ValueTask RequestAsync(KernelTask task, int count) => default;

    private ValueTask UnpinAsync(KernelTask task, ulong iova)
    {
        _cache.Remove(iova);
        return Device.Pins.UnpinAsync(task, iova);
    }
}

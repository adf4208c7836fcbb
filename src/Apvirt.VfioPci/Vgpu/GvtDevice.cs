using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;

namespace Apvirt.VfioPci.Vgpu;

/// <summary>
/// A vGPU, which needs a VM, one to each VM, and tracks the pages of the VM that it was opened with (vfio.md §11, M088 to
/// M091).
/// </summary>
/// <remarks>Lock order: dev_set->lock, then gvt->lock, or vgpu cache_lock, then the lock of the address space.</remarks>
/// <param name="name">Name for reports.</param>
/// <param name="adapter">The adapter.</param>
public sealed class GvtDevice(string name, GvtAdapter adapter) : IVfioDriver
{
    internal static readonly LockClass CacheClass = new("vgpu cache_lock", LockKind.Mutex);

    // vgpu cache_lock, L32. Guards _cache and _isActive.
    internal KernelMutex CacheLock { get; } = new(CacheClass);

    private Guarded<HashSet<ulong>> _cache = new([]);
    private Guarded<bool> _isActive;

    /// <summary>The registered device; to be set before it is offered.</summary>
    public VfioDevice Device { get; set; } = null!;

    /// <summary>The VM whose address space opens the device; the opener's own if it is the device's.</summary>
    public VirtualMachine? OpenerMachine { get; set; }

    /// <summary>The VM whose pages are tracked; it holds a reference. Null while closed.</summary>
    public VirtualMachine? Tracked { get; private set; }

    /// <inheritdoc/>
    public VirtualMachine? HeldMachine => Tracked;

    /// <summary>Pages in the cache of DMA mappings, for observers.</summary>
    public int CachedPages => _cache.Peek.Count;

    /// <inheritdoc/>
    public override string ToString() => name;

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
        else
            await SetActiveAsync(task, isActive: true);
        return error;
    }

    /// <inheritdoc/>
    public async ValueTask CloseDeviceAsync(KernelTask task)
    {
        await SetActiveAsync(task, isActive: false);
        await ForgetAsync(task, 0, ulong.MaxValue);
        await adapter.DetachAsync(task, this);
        VirtualMachine tracked = Tracked!;
        Tracked = null;
        tracked.Put(task);
    }

    /// <summary>The guest's driver uses a page: it is pinned and remembered.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">An address in the page.</param>
    /// <returns>EINVAL while the device is closed, else what pinning answers.</returns>
    public async ValueTask<Errno> MapPageAsync(KernelTask task, ulong iova)
    {
        await CacheLock.LockAsync(task);
        Errno error = !_isActive.Read(task, this, GvtGuards.Cache) ? Errno.EINVAL
            : _cache.Read(task, this, GvtGuards.Cache).Contains(iova) ? Errno.Ok
            : await Device.Pins.PinAsync(task, iova);
        if (error == Errno.Ok)
            _cache.Change(task, this, GvtGuards.Cache).Add(iova);
        CacheLock.Unlock(task);
        return error;
    }

    /// <inheritdoc/>
    public ValueTask DmaUnmapAsync(KernelTask task, ulong iova, ulong length) => ForgetAsync(task, iova, length);

    /// <inheritdoc/>
    public ValueTask RequestAsync(KernelTask task, int count) => default;

    // A page that was mapped after the close has forgotten all would stay pinned.
    private async ValueTask SetActiveAsync(KernelTask task, bool isActive)
    {
        await CacheLock.LockAsync(task);
        _isActive.Write(task, this, GvtGuards.Cache, isActive);
        CacheLock.Unlock(task);
    }

    private async ValueTask ForgetAsync(KernelTask task, ulong iova, ulong length)
    {
        await CacheLock.LockAsync(task);
        foreach (ulong page in _cache.Read(task, this, GvtGuards.Cache).Where(page => page >= iova && page - iova < length).Order().ToArray())
        {
            _cache.Change(task, this, GvtGuards.Cache).Remove(page);
            await Device.Pins.UnpinAsync(task, page);
        }
        CacheLock.Unlock(task);
    }
}

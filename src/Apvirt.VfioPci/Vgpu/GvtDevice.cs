using System.Collections.Immutable;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Memory;

namespace Apvirt.VfioPci.Vgpu;

/// <summary>
/// A vGPU, which needs a VM, one to each VM, and tracks the pages of the VM that it was opened with (vfio.md §11, M088 to
/// M091).
/// </summary>
/// <remarks>Lock order: dev_set->lock, then gvt->lock, or vgpu cache_lock, then the lock of the address space.</remarks>
public sealed class GvtDevice : IVfioDriver
{
    private const ulong PageBytes = 0x1000;
    private const ulong PageMask = PageBytes - 1;

    internal static readonly LockClass CacheClass = new("vgpu cache_lock", LockKind.Mutex);

    private readonly string _name;
    private readonly GvtAdapter _adapter;
    private Shared<VirtualMachine?> _tracked;
    private Guarded<ImmutableSortedSet<ulong>> _cache = new([]);
    private Guarded<bool> _isActive;
    private Guarded<Eventfd?> _trigger;

    /// <summary>Makes a vGPU that is not offered yet.</summary>
    /// <param name="name">Name for reports.</param>
    /// <param name="adapter">The adapter.</param>
    /// <param name="register">Registers the device that the driver is of.</param>
    public GvtDevice(string name, GvtAdapter adapter, Func<IVfioDriver, VfioDevice> register)
    {
        _name = name;
        _adapter = adapter;
        CacheLock = new KernelMutex(CacheClass, owner: this);
        Device = register(this);
    }

    /// <inheritdoc/>
    public DriverModule Module => _adapter.Module;

    // vgpu cache_lock, L32. Guards _cache, _isActive and _trigger.
    internal KernelMutex CacheLock { get; }

    /// <summary>The registered device.</summary>
    public VfioDevice Device { get; }

    /// <summary>The VM whose pages are tracked; it holds a reference. Null while closed.</summary>
    public VirtualMachine? Tracked
    {
        get => _tracked.Read(_adapter.Runtime, this, PciFields.Tracked);
        private set => _tracked.Write(_adapter.Runtime, this, PciFields.Tracked, value);
    }

    /// <inheritdoc/>
    public VirtualMachine? HeldMachine => Tracked;

    /// <summary>Pages in the cache of DMA mappings, for observers.</summary>
    public int CachedPages => _cache.Glance(_adapter.Runtime, this, GvtGuards.Cache).Count;

    /// <inheritdoc/>
    public override string ToString() => _name;

    /// <inheritdoc/>
    public async ValueTask<Errno> OpenDeviceAsync(KernelTask task)
    {
        VirtualMachine? machine = Device.Kvm;
        if (machine is null)
            return Errno.ESRCH;
        // Whether the VM has one already is asked first, whoever opens (M114).
        Tracked = machine;
        Errno error = await _adapter.AttachAsync(task, this, machine);
        if (error == Errno.Ok && (machine.AddressSpace != task.AddressSpace || !machine.TryGet(task)))
        {
            await _adapter.DetachAsync(task, this);
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
        await _adapter.DetachAsync(task, this);
        VirtualMachine tracked = Tracked!;
        Tracked = null;
        tracked.Put(task);
    }

    /// <summary>The guest's driver uses pages: they are pinned and remembered.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">An address in the first page.</param>
    /// <param name="pages">Number of pages, all or none; those that are remembered stay as they are.</param>
    /// <returns>EINVAL while the device is closed, else what pinning answers.</returns>
    public async ValueTask<Errno> MapPagesAsync(KernelTask task, ulong iova, int pages = 1)
    {
        ulong first = iova & ~PageMask;
        await CacheLock.LockAsync(task);
        Errno error = _isActive.Read(task, this, GvtGuards.Cache) ? Errno.Ok : Errno.EINVAL;
        ImmutableSortedSet<ulong> cache = _cache.Read(task, this, GvtGuards.Cache);
        if (error == Errno.Ok && (pages != 1 || !cache.Contains(first)))
            (error, _) = await Device.Pins.PinAsync(task, first, pages, MapProtection.Read | MapProtection.Write);
        else
            pages = 0;
        for (int page = 0; page < pages && error == Errno.Ok; page++)
        {
            ulong address = first + ((ulong)page * PageBytes);
            // One pin for each that is remembered.
            if (cache.Contains(address))
                await Device.Pins.UnpinAsync(task, address);
            else
                _cache.Write(task, this, GvtGuards.Cache, cache = cache.Add(address));
        }
        CacheLock.Unlock(task);
        return error;
    }

    /// <summary>The device reads what the guest has written, a command for example.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address.</param>
    /// <param name="into">Where to put the bytes.</param>
    /// <returns>As <see cref="PinnedPages.ReadAsync"/>.</returns>
    public ValueTask<Errno> ReadAsync(KernelTask task, ulong iova, Memory<byte> into) => Device.Pins.ReadAsync(task, iova, into);

    /// <summary>The device writes for the guest to read.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address.</param>
    /// <param name="data">The bytes.</param>
    /// <returns>As <see cref="PinnedPages.WriteAsync"/>.</returns>
    public ValueTask<Errno> WriteAsync(KernelTask task, ulong iova, ReadOnlyMemory<byte> data) => Device.Pins.WriteAsync(task, iova, data);

    /// <summary>VFIO_DEVICE_SET_IRQS: the eventfd by which the guest's interrupts are signalled; it goes with the last close.</summary>
    /// <param name="task">The task.</param>
    /// <param name="eventfd">The eventfd; null for none.</param>
    /// <returns>EINVAL while the device is closed.</returns>
    public async ValueTask<Errno> SetTriggerAsync(KernelTask task, Eventfd? eventfd)
    {
        await CacheLock.LockAsync(task);
        Errno error = _isActive.Read(task, this, GvtGuards.Cache) ? Errno.Ok : Errno.EINVAL;
        if (error == Errno.Ok)
            _trigger.Write(task, this, GvtGuards.Cache, eventfd);
        CacheLock.Unlock(task);
        return error;
    }

    /// <summary>The device interrupts its guest (MSI).</summary>
    /// <param name="task">The task.</param>
    /// <returns>ESRCH while no VM has the device. Without an eventfd nothing is signalled, and that is no error (vfio.md §11).</returns>
    public async ValueTask<Errno> InterruptAsync(KernelTask task)
    {
        await CacheLock.LockAsync(task);
        Errno error = _isActive.Read(task, this, GvtGuards.Cache) ? Errno.Ok : Errno.ESRCH;
        Eventfd? trigger = _trigger.Read(task, this, GvtGuards.Cache);
        CacheLock.Unlock(task);
        if (error == Errno.Ok)
            trigger?.Signal();
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
        if (!isActive)
            _trigger.Write(task, this, GvtGuards.Cache, null);
        CacheLock.Unlock(task);
    }

    private async ValueTask ForgetAsync(KernelTask task, ulong iova, ulong length)
    {
        await CacheLock.LockAsync(task);
        ImmutableSortedSet<ulong> cache = _cache.Read(task, this, GvtGuards.Cache);
        foreach (ulong page in cache.Where(page => page >= iova && page - iova < length))
        {
            _cache.Write(task, this, GvtGuards.Cache, cache = cache.Remove(page));
            await Device.Pins.UnpinAsync(task, page);
        }
        CacheLock.Unlock(task);
    }
}

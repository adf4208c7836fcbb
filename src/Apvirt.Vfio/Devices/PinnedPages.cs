using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio.Devices;

/// <summary>Guest pages that an emulated device keeps in place, with multiplicity (vfio.md §7).</summary>
/// <param name="name">Name of the device.</param>
public sealed class PinnedPages(string name)
{
    private const int PageShift = 12;

    // While the device is closed: of the same class as the lock of a container.
    private readonly KernelMutex _closed = new(Type1Iommu.IommuClass);

    // The lock of the address space, inside mdevs_lock. Guards _pages and _count. Changes with _space, at open and close.
    internal KernelMutex Lock => _space?.Lock ?? _closed;

    private DmaSpace? _space;
    private Guarded<Dictionary<ulong, int>> _pages = new([]);
    private Guarded<int> _count;

    /// <inheritdoc/>
    public override string ToString() => name;

    /// <summary>Number of pins; a page pinned twice counts twice.</summary>
    public int Count => _count.Peek;

    /// <summary>Whether the page of an address is pinned, for observers.</summary>
    /// <param name="iova">An address in the page.</param>
    public bool IsPinned(ulong iova) => _pages.Peek.ContainsKey(iova >> PageShift);

    /// <summary>Whether a page in a range is pinned, for observers.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="length">Number of bytes.</param>
    public bool IsAnyPinned(ulong iova, ulong length) =>
        _pages.Peek.Keys.Any(page => (page << PageShift) >= iova && (page << PageShift) - iova < length);

    /// <summary>Pins the page of an address for reading and writing.</summary>
    /// <param name="task">The pinning task.</param>
    /// <param name="iova">An address in the page.</param>
    /// <returns>EINVAL if the device is not open, else what the address space answers.</returns>
    public async ValueTask<Errno> PinAsync(KernelTask task, ulong iova)
    {
        if (_space is not { } space)
            return Errno.EINVAL;
        await space.Lock.LockAsync(task);
        Errno error = await space.CheckPinAsync(task, iova);
        if (error == Errno.Ok)
        {
            Dictionary<ulong, int> pages = _pages.Change(task, this, VfioGuards.Pins);
            pages.TryGetValue(iova >> PageShift, out int pins);
            pages[iova >> PageShift] = pins + 1;
            _count.Change(task, this, VfioGuards.Pins)++;
        }
        space.Lock.Unlock(task);
        return error;
    }

    /// <summary>Gives a pin back; does nothing for a page that is not pinned.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">An address in the page.</param>
    public async ValueTask UnpinAsync(KernelTask task, ulong iova)
    {
        KernelMutex held = Lock;
        await held.LockAsync(task);
        Dictionary<ulong, int> pages = _pages.Change(task, this, VfioGuards.Pins);
        if (pages.TryGetValue(iova >> PageShift, out int pins))
        {
            _count.Change(task, this, VfioGuards.Pins)--;
            if (pins == 1)
                pages.Remove(iova >> PageShift);
            else
                pages[iova >> PageShift] = pins - 1;
        }
        held.Unlock(task);
    }

    internal ValueTask OpenAsync(KernelTask task, DmaSpace? space)
    {
        Touches(task);
        _space = space;
        return default;
    }

    // The container goes with the last open file, and with it whatever a driver forgot to unpin.
    internal async ValueTask CloseAsync(KernelTask task)
    {
        Touches(task);
        KernelMutex held = Lock;
        await held.LockAsync(task);
        int count = _count.Read(task, this, VfioGuards.Pins);
        if (count != 0)
            task.Checks?.Violations.Add(new Violation(ViolationKind.Lifetime, "I21", $"a device is closed with {count} pages pinned", task.Name) { Finding = LeakedBy });
        _pages.Change(task, this, VfioGuards.Pins).Clear();
        _count.Write(task, this, VfioGuards.Pins, 0);
        LeakedBy = null;
        held.Unlock(task);
        _space = null;
    }

    // The address space is changed under dev_set->lock, and used by whoever knows that the device is open.
    private void Touches(KernelTask task)
    {
        if (task.HasPoints)
            task.Runtime.Touched($"address space of {name}", isWrite: true);
    }

    /// <summary>The finding that predicts pages left over at the close; null if none is expected.</summary>
    public string? LeakedBy { get; set; }
}

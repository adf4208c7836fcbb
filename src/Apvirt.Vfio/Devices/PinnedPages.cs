using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio.Devices;

/// <summary>What a driver does with guest memory (vfio.md §7): pages that it keeps in place, with multiplicity, and what it copies.</summary>
public sealed class PinnedPages
{
    private const int PageShift = 12;

    private readonly KernelRuntime _runtime;
    private readonly string _name;
    private readonly bool _hasDmaUnmap;
    private readonly KernelLog _log;

    // While the device is closed: of the same class as the lock of a container.
    private readonly KernelMutex _closed;

    // Set and cleared under dev_set->lock, and cleared under the lock of the space too: who holds that knows it stays.
    private Shared<DmaSpace?> _space;
    private Guarded<Dictionary<ulong, int>> _pages = new([]);
    private Guarded<int> _count;

    /// <summary>Makes the pages of a device that is closed.</summary>
    /// <param name="runtime">The runtime of those who use the device.</param>
    /// <param name="name">Name of the device.</param>
    /// <param name="hasDmaUnmap">Whether the driver unpins what is unmapped.</param>
    /// <param name="log">The kernel log.</param>
    public PinnedPages(KernelRuntime runtime, string name, bool hasDmaUnmap, KernelLog log)
    {
        _runtime = runtime;
        _name = name;
        _hasDmaUnmap = hasDmaUnmap;
        _log = log;
        _closed = new KernelMutex(Type1Iommu.IommuClass, owner: this);
    }

    // The lock of the address space, inside mdevs_lock. Guards _pages and _count. Changes with the space, at open and close.
    internal KernelMutex Lock => Space?.Lock ?? _closed;

    private DmaSpace? Space => _space.Read(_runtime, this, VfioFields.PinSpace);

    /// <inheritdoc/>
    public override string ToString() => _name;

    /// <summary>Number of pins, for observers; a page pinned twice counts twice.</summary>
    public int Count => _count.Glance(_runtime, this, VfioGuards.Pins);

    /// <summary>Whether the page of an address is pinned, for observers.</summary>
    /// <param name="iova">An address in the page.</param>
    public bool IsPinned(ulong iova) => Glance().ContainsKey(iova >> PageShift);

    /// <summary>Whether a page in a range is pinned, for observers.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="length">Number of bytes.</param>
    public bool IsAnyPinned(ulong iova, ulong length) => IsAnyOf(Glance(), iova, length);

    /// <summary>An address that is pinned although nothing is mapped there, for observers; null if there is none.</summary>
    public ulong? FindUnmapped()
    {
        if (Count == 0 || Space is not { } space)
            return null;
        IReadOnlyList<Mapping> mappings = space.Mappings;
        foreach (ulong page in Glance().Keys)
        {
            if (!mappings.Any(mapping => mapping.Has(page << PageShift)))
                return page << PageShift;
        }
        return null;
    }

    /// <summary>Whether a page in a range is pinned in an address space, whose lock is held.</summary>
    internal bool ReadIsAnyPinned(KernelTask task, DmaSpace space, ulong iova, ulong length) =>
        Space == space && IsAnyOf(_pages.Read(task, this, VfioGuards.Pins), iova, length);

    private static bool IsAnyOf(Dictionary<ulong, int> pages, ulong iova, ulong length) =>
        pages.Keys.Any(page => (page << PageShift) >= iova && (page << PageShift) - iova < length);

    private Dictionary<ulong, int> Glance() => _pages.Glance(_runtime, this, VfioGuards.Pins);

    /// <summary>Pins the page of an address for reading and writing.</summary>
    /// <param name="task">The pinning task.</param>
    /// <param name="iova">An address in the page.</param>
    /// <returns>As the other.</returns>
    public async ValueTask<Errno> PinAsync(KernelTask task, ulong iova) => (await PinAsync(task, iova, 1, MapProtection.Read | MapProtection.Write)).Error;

    /// <summary>Pins pages, all or none. A page that is pinned again counts again.</summary>
    /// <param name="task">The pinning task.</param>
    /// <param name="iova">An address in the first page.</param>
    /// <param name="count">Number of pages.</param>
    /// <param name="protection">What the device does with them.</param>
    /// <returns>
    /// EINVAL for no pages, if the device is not open, or if its driver does not unpin what is unmapped; E2BIG for too many;
    /// else what the address space answers; or the number of pages.
    /// </returns>
    public async ValueTask<(Errno Error, int Pinned)> PinAsync(KernelTask task, ulong iova, int count, MapProtection protection)
    {
        if (count <= 0 || Space is not { } space || !_hasDmaUnmap)
            return (Errno.EINVAL, 0);
        if (count > space.PinsMax)
            return (Errno.E2BIG, 0);
        await space.Lock.LockAsync(task);
        ulong first = iova >> PageShift;
        Errno error = Errno.Ok;
        int pinned = 0;
        while (pinned < count && (error = await space.CheckPinAsync(task, (first + (ulong)pinned) << PageShift, protection)) == Errno.Ok)
            Add(task, first + (ulong)pinned++, 1);
        while (error != Errno.Ok && pinned > 0)
            Add(task, first + (ulong)--pinned, -1);
        space.Lock.Unlock(task);
        return (error, pinned);
    }

    /// <summary>Gives a pin of each page back; says so of a page that is not pinned.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">An address in the first page.</param>
    /// <param name="count">Number of pages.</param>
    public async ValueTask UnpinAsync(KernelTask task, ulong iova, int count = 1)
    {
        KernelMutex held = Lock;
        await held.LockAsync(task);
        for (ulong page = iova >> PageShift; page < (iova >> PageShift) + (ulong)count; page++)
        {
            if (_pages.Read(task, this, VfioGuards.Pins).ContainsKey(page))
                Add(task, page, -1);
            else if (_log.IsRead)
                _log.Write(LogLevel.Warning, _name, $"page 0x{page << PageShift:x} is not pinned");
        }
        held.Unlock(task);
    }

    /// <summary>Copies from guest memory, without pinning it.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address.</param>
    /// <param name="into">Where to put the bytes.</param>
    /// <returns>EINVAL while the device is closed or for a hole, EPERM if the device may not read, EFAULT if the process has no memory there.</returns>
    public ValueTask<Errno> ReadAsync(KernelTask task, ulong iova, Memory<byte> into) =>
        CopyAsync(task, iova, into.Length, MapProtection.Read, (memory, address, at, count) => memory.TryRead(task, address, into.Span.Slice(at, count)));

    /// <summary>Copies to guest memory, without pinning it.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address.</param>
    /// <param name="data">The bytes.</param>
    /// <returns>As <see cref="ReadAsync"/>, EPERM if the device may not write. What comes before a hole is written.</returns>
    public ValueTask<Errno> WriteAsync(KernelTask task, ulong iova, ReadOnlyMemory<byte> data) =>
        CopyAsync(task, iova, data.Length, MapProtection.Write, (memory, address, at, count) => memory.TryWrite(task, address, data.Span.Slice(at, count)));

    private async ValueTask<Errno> CopyAsync(KernelTask task, ulong iova, int length, MapProtection protection, Func<UserMemory, ulong, int, int, bool> copy)
    {
        if (Space is not { } space)
            return Errno.EINVAL;
        await space.Lock.LockAsync(task);
        Errno error = Errno.Ok;
        for (int at = 0; at < length && error == Errno.Ok;)
        {
            ulong from = iova + (ulong)at;
            if (await space.FindAsync(task, from) is not { } mapping)
            {
                error = Errno.EINVAL;
                break;
            }
            int count = (int)Math.Min((ulong)(length - at), mapping.Last - from + 1);
            error = !mapping.Protection.HasFlag(protection) ? Errno.EPERM
                : mapping.Address is { } address && space.ReadMemory(task) is { } memory && copy(memory, address + (from - mapping.Iova), at, count) ? Errno.Ok
                : Errno.EFAULT;
            at += count;
        }
        space.Lock.Unlock(task);
        return error;
    }

    // Under the lock.
    private void Add(KernelTask task, ulong page, int pins)
    {
        Dictionary<ulong, int> pages = _pages.Change(task, this, VfioGuards.Pins);
        pages.TryGetValue(page, out int before);
        if (before + pins == 0)
            pages.Remove(page);
        else
            pages[page] = before + pins;
        _count.Change(task, this, VfioGuards.Pins) += pins;
    }

    internal void Open(KernelTask task, DmaSpace? space) => _space.Write(task.Runtime, this, VfioFields.PinSpace, space);

    // The container goes with the last open file, and with it whatever a driver forgot to unpin.
    internal async ValueTask CloseAsync(KernelTask task)
    {
        KernelMutex held = Lock;
        await held.LockAsync(task);
        int count = _count.Read(task, this, VfioGuards.Pins);
        if (count != 0)
            task.Checks?.Report(task, ViolationKind.Lifetime, "I21", $"a device is closed with {count} pages pinned");
        _pages.Change(task, this, VfioGuards.Pins).Clear();
        _count.Write(task, this, VfioGuards.Pins, 0);
        _space.Write(task.Runtime, this, VfioFields.PinSpace, null);
        held.Unlock(task);
    }
}

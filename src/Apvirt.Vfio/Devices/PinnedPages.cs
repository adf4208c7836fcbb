using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;

namespace Apvirt.Vfio.Devices;

/// <summary>Guest pages that an emulated device keeps in place, with multiplicity (vfio.md §7).</summary>
public sealed class PinnedPages
{
    private const int PageShift = 12;
    private static readonly LockClass IommuClass = new("iommu->lock", LockKind.Mutex);

    // L20, inside mdevs_lock. Guards _pages, Count and _machine.
    private readonly KernelMutex _lock = new(IommuClass);
    private readonly Dictionary<ulong, int> _pages = [];
    private VirtualMachine? _machine;

    /// <summary>Number of pins; a page pinned twice counts twice.</summary>
    public int Count { get; private set; }

    /// <summary>Pins the page of an address for reading and writing.</summary>
    /// <param name="task">The pinning task.</param>
    /// <param name="iova">An address in the page.</param>
    /// <returns>EINVAL if the device is not open or no memory is mapped there.</returns>
    public async ValueTask<Errno> PinAsync(KernelTask task, ulong iova)
    {
        await _lock.LockAsync(task);
        Errno error = _machine?.IsBacked(iova) == true ? Errno.Ok : Errno.EINVAL;
        if (error == Errno.Ok)
        {
            _pages.TryGetValue(iova >> PageShift, out int pins);
            _pages[iova >> PageShift] = pins + 1;
            Count++;
        }
        _lock.Unlock(task);
        return error;
    }

    /// <summary>Gives a pin back; does nothing for a page that is not pinned.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">An address in the page.</param>
    public async ValueTask UnpinAsync(KernelTask task, ulong iova)
    {
        await _lock.LockAsync(task);
        if (_pages.TryGetValue(iova >> PageShift, out int pins))
        {
            Count--;
            if (pins == 1)
                _pages.Remove(iova >> PageShift);
            else
                _pages[iova >> PageShift] = pins - 1;
        }
        _lock.Unlock(task);
    }

    internal void Open(VirtualMachine? machine) => _machine = machine;

    // The container goes with the last open file, and with it whatever a driver forgot to unpin.
    internal void Close()
    {
        _machine = null;
        _pages.Clear();
        Count = 0;
    }
}

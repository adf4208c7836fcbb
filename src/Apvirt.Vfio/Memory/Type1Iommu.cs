using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;

namespace Apvirt.Vfio.Memory;

/// <summary>The type1 IOMMU driver of a container: mappings, and who must be told before they go (vfio.md §7, §8).</summary>
/// <remarks>Lock order: iommu->lock, then device_list_lock. Neither is held while a device is told.</remarks>
public sealed class Type1Iommu : DmaSpace
{
    internal static readonly LockClass IommuClass = new("iommu->lock", LockKind.Mutex);
    internal static readonly LockClass ListClass = new("device_list_lock", LockKind.Mutex);
    private const int RoundsMax = 10;

    // As many addresses as a page holds. The specification does not say what "too big" is.
    private const int PinsAtOnce = 512;

    private readonly Profile _profile;

    // iommu->lock, L20. Guards _mappings.
    private Guarded<List<Mapping>> _mappings = new([]);

    // device_list_lock, L21. With iommu->lock it guards _listeners.
    internal KernelMutex ListLock { get; } = new(ListClass);

    private Guarded<List<VfioDevice>> _listeners = new([]);

    internal Type1Iommu(int version, Profile profile, UserMemory? memory) : base(IommuClass)
    {
        Version = version;
        Memory = memory;
        _profile = profile;
    }

    /// <summary>1, or 2 in which a mapping goes as a whole.</summary>
    public int Version { get; }

    /// <inheritdoc/>
    internal override UserMemory? Memory { get; }

    /// <inheritdoc/>
    internal override int PinsMax => PinsAtOnce;

    /// <summary>The mappings, for observers.</summary>
    public IReadOnlyList<Mapping> Mappings => _mappings.Peek;

    /// <summary>Maps a range.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address, of a page.</param>
    /// <param name="length">Number of bytes, whole pages.</param>
    /// <param name="protection">What a device may do.</param>
    /// <param name="address">Where the process has the memory; where the device sees it if null.</param>
    /// <returns>EINVAL for a range that is none or nothing to be done with it, EEXIST if a part is mapped.</returns>
    public async ValueTask<Errno> MapAsync(KernelTask task, ulong iova, ulong length, MapProtection protection, ulong? address = null)
    {
        if (!Mapping.IsRange(iova, length) || protection == MapProtection.None)
            return Errno.EINVAL;
        await Lock.LockAsync(task);
        Errno error = new Mapping(iova, length, protection, address ?? iova).AddTo(_mappings.Change(task, this, VfioGuards.Mappings));
        Lock.Unlock(task);
        return error;
    }

    /// <summary>Unmaps a range. When it returns no device has a page of the range pinned.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address, of a page.</param>
    /// <param name="length">Number of bytes, whole pages.</param>
    /// <returns>EINVAL for a range that is none, or in version 2 for one that begins or ends within a mapping.</returns>
    public async ValueTask<Errno> UnmapAsync(KernelTask task, ulong iova, ulong length)
    {
        if (!Mapping.IsRange(iova, length))
            return Errno.EINVAL;
        await Lock.LockAsync(task);
        if (Version > 1 && Bisects(task, iova, length))
        {
            Lock.Unlock(task);
            return Errno.EINVAL;
        }
        int rounds = 0;
        while (_mappings.Read(task, this, VfioGuards.Mappings).Find(mapping => mapping.Meets(iova, length)) is { } next)
        {
            if (WhoPinned(task, next) is not { } keeper)
            {
                _mappings.Change(task, this, VfioGuards.Mappings).Remove(next);
                rounds = 0;
                continue;
            }
            if (++rounds > RoundsMax)
            {
                task.Checks?.Violations.Add(new Violation(ViolationKind.Lifetime, "I23", $"pages from {next.Iova:x} on are still pinned by {keeper} after {RoundsMax} rounds of telling", task.Name)
                {
                    Finding = keeper.Pins.LeakedBy,
                });
                break;
            }
            await TellAsync(task, next);
        }
        Lock.Unlock(task);
        return Errno.Ok;
    }

    /// <summary>VFIO_DMA_UNMAP_FLAG_VADDR: the mappings in a range stay, but the process will have the memory elsewhere.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address, of a page.</param>
    /// <param name="length">Number of bytes, whole pages.</param>
    /// <returns>EINVAL for a range that is none, or that begins or ends within a mapping, or if a mapping is invalid already.</returns>
    public async ValueTask<Errno> InvalidateAsync(KernelTask task, ulong iova, ulong length)
    {
        if (!Mapping.IsRange(iova, length))
            return Errno.EINVAL;
        await Lock.LockAsync(task);
        List<Mapping> mappings = _mappings.Change(task, this, VfioGuards.Mappings);
        bool isRefused = Bisects(task, iova, length) || mappings.Exists(mapping => mapping.Meets(iova, length) && mapping.Address is null);
        for (int i = 0; i < mappings.Count && !isRefused; i++)
            mappings[i] = mappings[i].Meets(iova, length) ? mappings[i] with { Address = null } : mappings[i];
        Lock.Unlock(task);
        return isRefused ? Errno.EINVAL : Errno.Ok;
    }

    /// <summary>VFIO_DMA_MAP_FLAG_VADDR: where the process has the memory of a mapping now.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address of the mapping.</param>
    /// <param name="length">Its number of bytes.</param>
    /// <param name="address">Where the memory is.</param>
    /// <returns>EINVAL if there is no such mapping, or it is valid.</returns>
    public async ValueTask<Errno> UpdateAsync(KernelTask task, ulong iova, ulong length, ulong address)
    {
        await Lock.LockAsync(task);
        List<Mapping> mappings = _mappings.Change(task, this, VfioGuards.Mappings);
        int found = mappings.FindIndex(mapping => mapping.Iova == iova && mapping.Length == length && mapping.Address is null);
        if (found >= 0)
            mappings[found] = mappings[found] with { Address = address };
        Lock.Unlock(task);
        return found < 0 ? Errno.EINVAL : Errno.Ok;
    }

    internal override ValueTask<Errno> CheckPinAsync(KernelTask task, ulong iova, MapProtection protection)
    {
        List<Mapping> mappings = _mappings.Read(task, this, VfioGuards.Mappings);
        return new(
            Version == 1 ? Errno.EACCES
            : mappings.Exists(mapping => mapping.Address is null) ? Errno.EBUSY
            : _listeners.Read(task, this, VfioGuards.Listeners).Count == 0 ? Errno.EINVAL
            : mappings.Find(mapping => mapping.Has(iova)) is not { } mapping ? Errno.EINVAL
            : mapping.Protection.HasFlag(protection) ? Errno.Ok
            : Errno.EPERM);
    }

    internal override ValueTask<Mapping?> FindAsync(KernelTask task, ulong iova) =>
        new(_mappings.Read(task, this, VfioGuards.Mappings).Find(mapping => mapping.Has(iova)));

    private bool Bisects(KernelTask task, ulong iova, ulong length) => _mappings.Read(task, this, VfioGuards.Mappings).Exists(
        mapping => mapping.Meets(iova, length) && (mapping.Iova < iova || mapping.Last > iova + (length - 1)));

    internal async ValueTask AddListenerAsync(KernelTask task, VfioDevice device)
    {
        await LockListAsync(task);
        _listeners.Change(task, this, VfioGuards.Listeners).Add(device);
        UnlockList(task);
    }

    internal async ValueTask RemoveListenerAsync(KernelTask task, VfioDevice device)
    {
        await LockListAsync(task);
        _listeners.Change(task, this, VfioGuards.Listeners).Remove(device);
        UnlockList(task);
    }

    private async ValueTask LockListAsync(KernelTask task)
    {
        await Lock.LockAsync(task);
        await ListLock.LockAsync(task);
    }

    private void UnlockList(KernelTask task)
    {
        ListLock.Unlock(task);
        Lock.Unlock(task);
    }

    private VfioDevice? WhoPinned(KernelTask task, Mapping mapping) =>
        _listeners.Read(task, this, VfioGuards.Listeners).Find(device => device.Pins.IsAnyPinned(mapping.Iova, mapping.Length));

    // Who is told unpins, which takes iommu->lock. In 6.12 the list stays locked meanwhile (F01).
    private async ValueTask TellAsync(KernelTask task, Mapping mapping)
    {
        VfioDevice[] listeners = [.. _listeners.Read(task, this, VfioGuards.Listeners)];
        if (!_profile.Has(Quirk.ListenersHeldWhileTold))
        {
            Lock.Unlock(task);
            foreach (VfioDevice device in listeners)
                await device.TellUnmapAsync(task, mapping.Iova, mapping.Length);
            await Lock.LockAsync(task);
            return;
        }
        await ListLock.LockAsync(task);
        string? finding = task.Finding;
        task.Finding = Quirk.ListenersHeldWhileTold.Finding();
        Lock.Unlock(task);
        foreach (VfioDevice device in listeners)
            await device.TellUnmapAsync(task, mapping.Iova, mapping.Length);
        ListLock.Unlock(task);
        task.Finding = finding;
        await Lock.LockAsync(task);
    }
}

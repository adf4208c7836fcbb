using System.Collections.Immutable;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
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

    private readonly KernelRuntime _runtime;
    private readonly string _name;
    private readonly Profile _profile;
    private readonly UserMemory? _memory;

    // iommu->lock, L20. Guards _mappings.
    private Guarded<ImmutableArray<Mapping>> _mappings = new([]);

    // device_list_lock, L21. With iommu->lock it guards _listeners.
    internal KernelMutex ListLock { get; }

    private Guarded<ImmutableArray<VfioDevice>> _listeners = new([]);

    internal Type1Iommu(KernelRuntime runtime, string name, int version, Profile profile, UserMemory? memory) : base(IommuClass)
    {
        _runtime = runtime;
        _name = name;
        Version = version;
        _memory = memory;
        _profile = profile;
        ListLock = new KernelMutex(ListClass, owner: this);
    }

    /// <summary>1, or 2 in which a mapping goes as a whole.</summary>
    public int Version { get; }

    /// <inheritdoc/>
    public override string ToString() => $"iommu of {_name}";

    /// <inheritdoc/>
    internal override UserMemory? ReadMemory(KernelTask task) => _memory;

    /// <inheritdoc/>
    internal override int PinsMax => PinsAtOnce;

    /// <summary>The mappings, for observers.</summary>
    public override IReadOnlyList<Mapping> Mappings => _mappings.Glance(_runtime, this, VfioGuards.Mappings);

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
        Errno error = new Mapping(iova, length, protection, address ?? iova).AddTo(ref _mappings.Change(task, this, VfioGuards.Mappings));
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
        while (_mappings.Read(task, this, VfioGuards.Mappings).FirstOrDefault(mapping => mapping.Meets(iova, length)) is { } next)
        {
            if (WhoPinned(task, next) is not { } keeper)
            {
                Remove(task, next);
                rounds = 0;
                continue;
            }
            if (++rounds > RoundsMax)
            {
                task.Checks?.Report(task, ViolationKind.Lifetime, "I23", $"pages from {next.Iova:x} on are still pinned by {keeper} after {RoundsMax} rounds of telling");
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
        ImmutableArray<Mapping> mappings = _mappings.Read(task, this, VfioGuards.Mappings);
        bool isRefused = Bisects(task, iova, length) || mappings.Any(mapping => mapping.Meets(iova, length) && mapping.Address is null);
        if (!isRefused)
            _mappings.Write(task, this, VfioGuards.Mappings, [.. mappings.Select(mapping => mapping.Meets(iova, length) ? mapping with { Address = null } : mapping)]);
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
        ImmutableArray<Mapping> mappings = _mappings.Read(task, this, VfioGuards.Mappings);
        Mapping? found = mappings.FirstOrDefault(mapping => mapping.Iova == iova && mapping.Length == length && mapping.Address is null);
        if (found is not null)
            _mappings.Write(task, this, VfioGuards.Mappings, mappings.Replace(found, found with { Address = address }));
        Lock.Unlock(task);
        return found is null ? Errno.EINVAL : Errno.Ok;
    }

    internal override ValueTask<Errno> CheckPinAsync(KernelTask task, ulong iova, MapProtection protection)
    {
        ImmutableArray<Mapping> mappings = _mappings.Read(task, this, VfioGuards.Mappings);
        return new(
            Version == 1 ? Errno.EACCES
            : mappings.Any(mapping => mapping.Address is null) ? Errno.EBUSY
            : _listeners.Read(task, this, VfioGuards.Listeners).IsEmpty ? Errno.EINVAL
            : mappings.FirstOrDefault(mapping => mapping.Has(iova)) is not { } mapping ? Errno.EINVAL
            : mapping.Protection.HasFlag(protection) ? Errno.Ok
            : Errno.EPERM);
    }

    internal override ValueTask<Mapping?> FindAsync(KernelTask task, ulong iova) =>
        new(_mappings.Read(task, this, VfioGuards.Mappings).FirstOrDefault(mapping => mapping.Has(iova)));

    private bool Bisects(KernelTask task, ulong iova, ulong length) => _mappings.Read(task, this, VfioGuards.Mappings).Any(
        mapping => mapping.Meets(iova, length) && (mapping.Iova < iova || mapping.Last > iova + (length - 1)));

    internal async ValueTask AddListenerAsync(KernelTask task, VfioDevice device)
    {
        await LockListAsync(task);
        ref ImmutableArray<VfioDevice> listeners = ref _listeners.Change(task, this, VfioGuards.Listeners);
        listeners = listeners.Add(device);
        UnlockList(task);
    }

    internal async ValueTask RemoveListenerAsync(KernelTask task, VfioDevice device)
    {
        await LockListAsync(task);
        ref ImmutableArray<VfioDevice> listeners = ref _listeners.Change(task, this, VfioGuards.Listeners);
        listeners = listeners.Remove(device);
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
        _listeners.Read(task, this, VfioGuards.Listeners).FirstOrDefault(device => device.Pins.ReadIsAnyPinned(task, this, mapping.Iova, mapping.Length));

    private void Remove(KernelTask task, Mapping mapping)
    {
        ref ImmutableArray<Mapping> mappings = ref _mappings.Change(task, this, VfioGuards.Mappings);
        mappings = mappings.Remove(mapping);
    }

    // Who is told unpins, which takes iommu->lock. In 6.12 the list stays locked meanwhile (F01).
    private async ValueTask TellAsync(KernelTask task, Mapping mapping)
    {
        ImmutableArray<VfioDevice> listeners = _listeners.Read(task, this, VfioGuards.Listeners);
        if (!_profile.Deviates(task, Quirk.ListenersHeldWhileTold))
        {
            Lock.Unlock(task);
            foreach (VfioDevice device in listeners)
            {
                await task.NextStepAsync("tell listener");
                await device.TellUnmapAsync(task, mapping.Iova, mapping.Length);
            }
            await task.NextStepAsync("look again");
            await Lock.LockAsync(task);
            return;
        }
        await ListLock.LockAsync(task);
        Lock.Unlock(task);
        foreach (VfioDevice device in listeners)
        {
            await task.NextStepAsync("tell listener");
            await device.TellUnmapAsync(task, mapping.Iova, mapping.Length);
        }
        await task.NextStepAsync("look again");
        ListLock.Unlock(task);
        await Lock.LockAsync(task);
    }
}

using System.Collections.Immutable;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio.Groups;

/// <summary>An open /dev/vfio/vfio: groups that share their mappings (vfio.md §3).</summary>
public sealed class VfioContainer
{
    internal static readonly LockClass ContainerClass = new("container group_lock", LockKind.RwSemaphore);

    private readonly KernelRuntime _runtime;
    private readonly string _name;
    private readonly Profile _profile;
    private readonly UserMemory? _memory;

    // L11, inside group_lock. Guards _groups and _iommu.
    internal KernelRwSemaphore Lock { get; }

    private Guarded<ImmutableArray<VfioGroup>> _groups = new([]);
    private Guarded<Type1Iommu?> _iommu;

    /// <summary>Opens a container.</summary>
    /// <param name="runtime">The runtime of those who use it.</param>
    /// <param name="name">Name of the process, for reports.</param>
    /// <param name="profile">Whose quirks apply.</param>
    /// <param name="memory">The memory of the process; null if nothing is ever copied from or to it.</param>
    public VfioContainer(KernelRuntime runtime, string name, Profile profile, UserMemory? memory = null)
    {
        _runtime = runtime;
        _name = name;
        _profile = profile;
        _memory = memory;
        Lock = new KernelRwSemaphore(ContainerClass, owner: this);
    }

    /// <inheritdoc/>
    public override string ToString() => $"container of {_name}";

    /// <summary>The IOMMU driver, for observers; null while none is set.</summary>
    public Type1Iommu? Iommu => _iommu.Glance(_runtime, this, VfioGuards.Container);

    /// <summary>The groups, for observers.</summary>
    public IReadOnlyList<VfioGroup> Groups => _groups.Glance(_runtime, this, VfioGuards.Container);

    /// <summary>VFIO_SET_IOMMU.</summary>
    /// <param name="task">The task.</param>
    /// <param name="version">1 or 2.</param>
    /// <returns>EINVAL without groups or if one is set, ENODEV for a driver that there is not, EIO if a device cannot be attached.</returns>
    public async ValueTask<Errno> SetIommuAsync(KernelTask task, int version)
    {
        await Lock.LockWriteAsync(task);
        Errno error = _groups.Read(task, this, VfioGuards.Container).IsEmpty || _iommu.Read(task, this, VfioGuards.Container) is not null ? Errno.EINVAL
            : version is not (1 or 2) ? Errno.ENODEV
            : Errno.Ok;
        if (error == Errno.Ok)
        {
            Type1Iommu iommu = new(_runtime, _name, version, _profile, _memory);
            error = await AttachGroupsAsync(task, iommu);
            if (error == Errno.Ok)
                _iommu.Write(task, this, VfioGuards.Container, iommu);
        }
        Lock.UnlockWrite(task);
        return error;
    }

    // All or none.
    private async ValueTask<Errno> AttachGroupsAsync(KernelTask task, Type1Iommu iommu)
    {
        VfioGroup[] physical = [.. _groups.Read(task, this, VfioGuards.Container).Where(group => group.Dma is not null)];
        for (int i = 0; i < physical.Length; i++)
        {
            Errno error = await physical[i].Dma!.AttachAsync(task, iommu);
            if (error == Errno.Ok)
                continue;
            while (--i >= 0)
                await physical[i].Dma!.BlockAsync(task);
            return error;
        }
        return Errno.Ok;
    }

    /// <summary>Maps a range.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address.</param>
    /// <param name="length">Number of bytes.</param>
    /// <param name="protection">What a device may do.</param>
    /// <param name="address">Where the process has the memory; where the device sees it if null.</param>
    /// <returns>EINVAL without an IOMMU driver, else as <see cref="Type1Iommu.MapAsync"/>.</returns>
    public async ValueTask<Errno> MapAsync(KernelTask task, ulong iova, ulong length, MapProtection protection, ulong? address = null) =>
        await FindIommuAsync(task) is { } iommu ? await iommu.MapAsync(task, iova, length, protection, address) : Errno.EINVAL;

    /// <summary>Unmaps a range.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address.</param>
    /// <param name="length">Number of bytes.</param>
    /// <returns>EINVAL without an IOMMU driver, else as <see cref="Type1Iommu.UnmapAsync"/>.</returns>
    public async ValueTask<Errno> UnmapAsync(KernelTask task, ulong iova, ulong length) =>
        await FindIommuAsync(task) is { } iommu ? await iommu.UnmapAsync(task, iova, length) : Errno.EINVAL;

    /// <summary>Says that the process will have the memory of mappings elsewhere (VFIO_DMA_UNMAP_FLAG_VADDR).</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address.</param>
    /// <param name="length">Number of bytes.</param>
    /// <returns>EINVAL without an IOMMU driver, EBUSY while an emulated group is in the container, else as <see cref="Type1Iommu.InvalidateAsync"/>.</returns>
    public async ValueTask<Errno> InvalidateAsync(KernelTask task, ulong iova, ulong length)
    {
        await Lock.LockReadAsync(task);
        Errno error = _iommu.Read(task, this, VfioGuards.Container) is not { } iommu ? Errno.EINVAL
            : _groups.Read(task, this, VfioGuards.Container).Any(group => group.Kind == GroupKind.Emulated) ? Errno.EBUSY
            : await iommu.InvalidateAsync(task, iova, length);
        Lock.UnlockRead(task);
        return error;
    }

    /// <summary>Says where the process has the memory of a mapping now (VFIO_DMA_MAP_FLAG_VADDR).</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address of the mapping.</param>
    /// <param name="length">Its number of bytes.</param>
    /// <param name="address">Where the memory is.</param>
    /// <returns>EINVAL without an IOMMU driver, else as <see cref="Type1Iommu.UpdateAsync"/>.</returns>
    public async ValueTask<Errno> UpdateAsync(KernelTask task, ulong iova, ulong length, ulong address) =>
        await FindIommuAsync(task) is { } iommu ? await iommu.UpdateAsync(task, iova, length, address) : Errno.EINVAL;

    internal async ValueTask<Type1Iommu?> FindIommuAsync(KernelTask task)
    {
        await Lock.LockReadAsync(task);
        Type1Iommu? iommu = _iommu.Read(task, this, VfioGuards.Container);
        Lock.UnlockRead(task);
        return iommu;
    }

    /// <summary>A group joins: a physical one claims its DMA (M097), and groups without an IOMMU keep to themselves.</summary>
    internal async ValueTask<Errno> AttachAsync(KernelTask task, VfioGroup group)
    {
        await Lock.LockWriteAsync(task);
        ImmutableArray<VfioGroup> groups = _groups.Read(task, this, VfioGuards.Container);
        Errno error = groups.Any(other => (other.Kind == GroupKind.NoIommu) != (group.Kind == GroupKind.NoIommu)) ? Errno.EPERM
            : group.Dma is null ? Errno.Ok
            : await JoinAsync(task, group.Dma);
        if (error == Errno.Ok)
            _groups.Write(task, this, VfioGuards.Container, groups.Add(group));
        Lock.UnlockWrite(task);
        return error;
    }

    private async ValueTask<Errno> JoinAsync(KernelTask task, DmaOwnership dma)
    {
        Errno error = await dma.ClaimAsync(task, this);
        if (error != Errno.Ok || _iommu.Read(task, this, VfioGuards.Container) is not { } iommu)
            return error;
        error = await dma.AttachAsync(task, iommu);
        if (error != Errno.Ok)
            await dma.ReleaseAsync(task);
        return error;
    }

    /// <summary>A group leaves; with the last one goes the IOMMU driver.</summary>
    internal async ValueTask DetachAsync(KernelTask task, VfioGroup group)
    {
        await Lock.LockWriteAsync(task);
        ImmutableArray<VfioGroup> groups = _groups.Read(task, this, VfioGuards.Container).Remove(group);
        _groups.Write(task, this, VfioGuards.Container, groups);
        if (group.Dma is not null)
            await group.Dma.ReleaseAsync(task);
        if (groups.IsEmpty)
            _iommu.Write(task, this, VfioGuards.Container, null);
        Lock.UnlockWrite(task);
    }
}

using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;

namespace Apvirt.Vfio.Memory;

/// <summary>An open /dev/iommu: address spaces, by number.</summary>
public sealed class IommuFd
{
    // Guards _spaces and _next; a leaf.
    private readonly Lock _gate = new();
    private readonly Dictionary<int, Ioas> _spaces = [];
    private int _next = 1;

    private Ioas? _compatible;

    /// <summary>The address space of groups that were made for containers; made when it is first asked for.</summary>
    public Ioas Compatible => _compatible ??= Allocate();

    /// <summary>Whether that address space was made: from then on devices without an IOMMU are not opened with the file.</summary>
    public bool HasCompatible => _compatible is not null;

    /// <summary>Opens it.</summary>
    /// <param name="memory">The memory of the process; null if nothing is ever copied from or to it.</param>
    public IommuFd(UserMemory? memory = null) => Memory = memory;

    /// <summary>The memory of the process.</summary>
    internal UserMemory? Memory { get; }

    /// <summary>Makes an address space.</summary>
    public Ioas Allocate()
    {
        lock (_gate)
        {
            Ioas space = new(_next++, Memory);
            _spaces.Add(space.Id, space);
            return space;
        }
    }

    /// <summary>Finds an address space.</summary>
    /// <param name="id">Its number.</param>
    public Ioas? Find(int id)
    {
        lock (_gate)
            return _spaces.GetValueOrDefault(id);
    }
}

/// <summary>An address space of an iommufd.</summary>
/// <param name="id">Its number.</param>
/// <param name="memory">The memory of the process.</param>
public sealed class Ioas(int id, UserMemory? memory = null)
{
    internal static readonly LockClass IovaClass = new("iova_rwsem", LockKind.RwSemaphore);

    // L23. Guards _mappings, _leaving and _accesses.
    internal KernelRwSemaphore Lock { get; } = new(IovaClass);

    private Guarded<List<Mapping>> _mappings = new([]);
    private Guarded<List<Mapping>> _leaving = new([]);
    private Guarded<List<IoasAccess>> _accesses = new([]);

    /// <summary>Its number.</summary>
    public int Id => id;

    /// <summary>The memory of the process.</summary>
    internal UserMemory? Memory => memory;

    /// <summary>Maps a range.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address, of a page.</param>
    /// <param name="length">Number of bytes, whole pages.</param>
    /// <param name="protection">What a device may do.</param>
    /// <param name="address">Where the process has the memory; where the device sees it if null.</param>
    /// <returns>EINVAL for a range that is none, EEXIST if a part is mapped.</returns>
    public async ValueTask<Errno> MapAsync(KernelTask task, ulong iova, ulong length, MapProtection protection, ulong? address = null)
    {
        if (!Mapping.IsRange(iova, length))
            return Errno.EINVAL;
        await Lock.LockWriteAsync(task);
        Errno error = new Mapping(iova, length, protection, address ?? iova).AddTo(_mappings.Change(task, this, VfioGuards.Areas));
        Lock.UnlockWrite(task);
        return error;
    }

    /// <summary>Unmaps the areas in a range: new pins are refused, each access is told without locks until it has none left.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">First address.</param>
    /// <param name="length">Number of bytes.</param>
    /// <returns>ENOENT if there is none, or a part of one.</returns>
    public async ValueTask<Errno> UnmapAsync(KernelTask task, ulong iova, ulong length)
    {
        await Lock.LockWriteAsync(task);
        List<Mapping> going = _mappings.Read(task, this, VfioGuards.Areas).FindAll(mapping => mapping.Meets(iova, length));
        if (going.Count == 0 || going.Exists(mapping => mapping.Iova < iova || mapping.Last > iova + (length - 1)))
        {
            Lock.UnlockWrite(task);
            return Errno.ENOENT;
        }
        _leaving.Change(task, this, VfioGuards.Areas).AddRange(going);
        IoasAccess[] accesses = [.. _accesses.Read(task, this, VfioGuards.Areas)];
        Lock.UnlockWrite(task);
        foreach (Mapping mapping in going)
        {
            foreach (IoasAccess access in accesses)
                await access.Device.TellUnmapAsync(task, mapping.Iova, mapping.Length);
        }
        await Lock.LockWriteAsync(task);
        _leaving.Change(task, this, VfioGuards.Areas).RemoveAll(going.Contains);
        _mappings.Change(task, this, VfioGuards.Areas).RemoveAll(going.Contains);
        Lock.UnlockWrite(task);
        return Errno.Ok;
    }

    internal async ValueTask<Mapping?> FindAsync(KernelTask task, ulong iova)
    {
        await Lock.LockReadAsync(task);
        Mapping? found = _mappings.Read(task, this, VfioGuards.Areas).Find(mapping => mapping.Has(iova));
        Lock.UnlockRead(task);
        return found;
    }

    internal async ValueTask<Errno> CheckAsync(KernelTask task, ulong iova, MapProtection protection)
    {
        await Lock.LockReadAsync(task);
        Errno error = _leaving.Read(task, this, VfioGuards.Areas).Exists(mapping => mapping.Has(iova)) ? Errno.EINVAL
            : _mappings.Read(task, this, VfioGuards.Areas).Find(mapping => mapping.Has(iova)) is not { } mapping ? Errno.ENOENT
            : mapping.Protection.HasFlag(protection) ? Errno.Ok
            : Errno.EPERM;
        Lock.UnlockRead(task);
        return error;
    }

    internal async ValueTask AddAsync(KernelTask task, IoasAccess access)
    {
        await Lock.LockWriteAsync(task);
        _accesses.Change(task, this, VfioGuards.Areas).Add(access);
        Lock.UnlockWrite(task);
    }

    internal async ValueTask RemoveAsync(KernelTask task, IoasAccess access)
    {
        await Lock.LockWriteAsync(task);
        _accesses.Change(task, this, VfioGuards.Areas).Remove(access);
        Lock.UnlockWrite(task);
    }
}

/// <summary>What an emulated device has of an iommufd: at most one address space at a time (vfio.md §7, §8).</summary>
public sealed class IoasAccess : DmaSpace
{
    internal static readonly LockClass AccessClass = new("access.ioas_lock", LockKind.Mutex);

    // access.ioas_lock, L22. Guards _space and _isChanging.
    private Guarded<Ioas?> _space;
    private Guarded<bool> _isChanging;

    internal IoasAccess(VfioDevice device) : base(AccessClass) => Device = device;

    /// <summary>The address space, for observers.</summary>
    public Ioas? Space => _space.Peek;

    internal VfioDevice Device { get; }

    /// <inheritdoc/>
    internal override UserMemory? Memory => Space?.Memory;

    internal override async ValueTask<Errno> CheckPinAsync(KernelTask task, ulong iova, MapProtection protection) =>
        ReadSpace(task) is { } space ? await space.CheckAsync(task, iova, protection) : Errno.ENOENT;

    internal override async ValueTask<Mapping?> FindAsync(KernelTask task, ulong iova) =>
        ReadSpace(task) is { } space ? await space.FindAsync(task, iova) : null;

    // None while it is being changed.
    private Ioas? ReadSpace(KernelTask task) => _isChanging.Read(task, this, VfioGuards.Access) ? null : _space.Read(task, this, VfioGuards.Access);

    /// <summary>Changes the address space: nothing can be pinned meanwhile, and what was is unpinned.</summary>
    /// <param name="task">The task.</param>
    /// <param name="space">The new one; null for none.</param>
    /// <returns>EBUSY if somebody else is changing it.</returns>
    internal async ValueTask<Errno> ChangeAsync(KernelTask task, Ioas? space)
    {
        await Lock.LockAsync(task);
        if (_isChanging.Read(task, this, VfioGuards.Access))
        {
            Lock.Unlock(task);
            return Errno.EBUSY;
        }
        Ioas? before = _space.Read(task, this, VfioGuards.Access);
        _isChanging.Write(task, this, VfioGuards.Access, true);
        Lock.Unlock(task);
        if (before is not null)
        {
            await Device.TellUnmapAsync(task, 0, ulong.MaxValue);
            await before.RemoveAsync(task, this);
        }
        if (space is not null)
            await space.AddAsync(task, this);
        await Lock.LockAsync(task);
        _space.Write(task, this, VfioGuards.Access, space);
        _isChanging.Write(task, this, VfioGuards.Access, false);
        Lock.Unlock(task);
        return Errno.Ok;
    }
}

using System.Collections.Immutable;
using System.Globalization;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;

namespace Apvirt.Vfio.Memory;

/// <summary>An open /dev/iommu: address spaces, by number.</summary>
public sealed class IommuFd
{
    private readonly KernelRuntime _runtime;
    private readonly string _name;
    private readonly SharedState<State> _state;

    // Numbers are given out from 1 on, and no space ever goes.
    private readonly record struct State(ImmutableArray<Ioas> Spaces, Ioas? Compatible);

    /// <summary>Opens it.</summary>
    /// <param name="runtime">The runtime of those who use it.</param>
    /// <param name="name">Name of the process, for reports.</param>
    /// <param name="memory">The memory of the process; null if nothing is ever copied from or to it.</param>
    public IommuFd(KernelRuntime runtime, string name, UserMemory? memory = null)
    {
        _runtime = runtime;
        _name = name;
        Memory = memory;
        _state = new SharedState<State>(this, VfioFields.Spaces, new State([], Compatible: null));
    }

    /// <summary>The address space of groups that were made for containers; made by whoever asks for it first.</summary>
    public Ioas Compatible => Read().Compatible ?? MakeCompatible();

    /// <summary>Whether that address space was made: from then on devices without an IOMMU are not opened with the file.</summary>
    public bool HasCompatible => Read().Compatible is not null;

    /// <summary>The memory of the process.</summary>
    internal UserMemory? Memory { get; }

    /// <summary>Makes an address space.</summary>
    public Ioas Allocate()
    {
        using SharedState<State>.Section section = _state.Enter(_runtime, AccessKind.Write);
        return Allocate(ref section.Value);
    }

    /// <summary>Finds an address space.</summary>
    /// <param name="id">Its number.</param>
    public Ioas? Find(int id)
    {
        ImmutableArray<Ioas> spaces = Read().Spaces;
        return id > 0 && id <= spaces.Length ? spaces[id - 1] : null;
    }

    /// <inheritdoc/>
    public override string ToString() => $"iommufd of {_name}";

    // Two who ask first get the same.
    private Ioas MakeCompatible()
    {
        using SharedState<State>.Section section = _state.Enter(_runtime, AccessKind.Write);
        if (section.Value.Compatible is { } made)
            return made;
        Ioas space = Allocate(ref section.Value);
        section.Value = section.Value with { Compatible = space };
        return space;
    }

    private Ioas Allocate(ref State state)
    {
        Ioas space = new(_name, state.Spaces.Length + 1, Memory);
        state = state with { Spaces = state.Spaces.Add(space) };
        return space;
    }

    private State Read()
    {
        using SharedState<State>.Section section = _state.Enter(_runtime, AccessKind.Read);
        return section.Value;
    }
}

/// <summary>An address space of an iommufd.</summary>
public sealed class Ioas
{
    internal static readonly LockClass IovaClass = new("iova_rwsem", LockKind.RwSemaphore);

    private readonly string _name;

    // L23. Guards _mappings, _leaving and _accesses.
    internal KernelRwSemaphore Lock { get; }

    private Guarded<ImmutableArray<Mapping>> _mappings = new([]);
    private Guarded<ImmutableArray<Mapping>> _leaving = new([]);
    private Guarded<ImmutableArray<IoasAccess>> _accesses = new([]);

    /// <summary>Makes an empty address space.</summary>
    /// <param name="process">Name of the process, for reports.</param>
    /// <param name="id">Its number.</param>
    /// <param name="memory">The memory of the process.</param>
    public Ioas(string process, int id, UserMemory? memory = null)
    {
        _name = string.Create(CultureInfo.InvariantCulture, $"ioas {id} of {process}");
        Id = id;
        Memory = memory;
        Lock = new KernelRwSemaphore(IovaClass, owner: this);
    }

    /// <summary>Its number.</summary>
    public int Id { get; }

    /// <summary>The memory of the process.</summary>
    internal UserMemory? Memory { get; }

    /// <inheritdoc/>
    public override string ToString() => _name;

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
        Errno error = new Mapping(iova, length, protection, address ?? iova).AddTo(ref _mappings.Change(task, this, VfioGuards.Areas));
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
        ImmutableArray<Mapping> going = [.. _mappings.Read(task, this, VfioGuards.Areas).Where(mapping => mapping.Meets(iova, length))];
        if (going.IsEmpty || going.Any(mapping => mapping.Iova < iova || mapping.Last > iova + (length - 1)))
        {
            Lock.UnlockWrite(task);
            return Errno.ENOENT;
        }
        ref ImmutableArray<Mapping> leaving = ref _leaving.Change(task, this, VfioGuards.Areas);
        leaving = leaving.AddRange(going);
        ImmutableArray<IoasAccess> accesses = _accesses.Read(task, this, VfioGuards.Areas);
        Lock.UnlockWrite(task);
        foreach (Mapping mapping in going)
        {
            foreach (IoasAccess access in accesses)
            {
                await task.NextStepAsync("tell device");
                await access.Device.TellUnmapAsync(task, mapping.Iova, mapping.Length);
            }
        }
        await task.NextStepAsync("take mappings away");
        await Lock.LockWriteAsync(task);
        Remove(ref _leaving.Change(task, this, VfioGuards.Areas), going);
        Remove(ref _mappings.Change(task, this, VfioGuards.Areas), going);
        Lock.UnlockWrite(task);
        return Errno.Ok;
    }

    /// <summary>What is mapped, for observers.</summary>
    internal ImmutableArray<Mapping> Glance(KernelRuntime runtime) => _mappings.Glance(runtime, this, VfioGuards.Areas);

    private static void Remove(ref ImmutableArray<Mapping> mappings, ImmutableArray<Mapping> going) => 
        mappings = mappings.RemoveAll(going.Contains);

    internal async ValueTask<Mapping?> FindAsync(KernelTask task, ulong iova)
    {
        await Lock.LockReadAsync(task);
        Mapping? found = _mappings.Read(task, this, VfioGuards.Areas).FirstOrDefault(mapping => mapping.Has(iova));
        Lock.UnlockRead(task);
        return found;
    }

    internal async ValueTask<Errno> CheckAsync(KernelTask task, ulong iova, MapProtection protection)
    {
        await Lock.LockReadAsync(task);
        Errno error = _leaving.Read(task, this, VfioGuards.Areas).Any(mapping => mapping.Has(iova)) ? Errno.EINVAL
            : _mappings.Read(task, this, VfioGuards.Areas).FirstOrDefault(mapping => mapping.Has(iova)) is not { } mapping ? Errno.ENOENT
            : mapping.Protection.HasFlag(protection) ? Errno.Ok
            : Errno.EPERM;
        Lock.UnlockRead(task);
        return error;
    }

    internal async ValueTask AddAsync(KernelTask task, IoasAccess access)
    {
        await Lock.LockWriteAsync(task);
        ref ImmutableArray<IoasAccess> accesses = ref _accesses.Change(task, this, VfioGuards.Areas);
        accesses = accesses.Add(access);
        Lock.UnlockWrite(task);
    }

    internal async ValueTask RemoveAsync(KernelTask task, IoasAccess access)
    {
        await Lock.LockWriteAsync(task);
        ref ImmutableArray<IoasAccess> accesses = ref _accesses.Change(task, this, VfioGuards.Areas);
        accesses = accesses.Remove(access);
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
    public Ioas? Space => _space.Glance(Device.Group.Model.Runtime, this, VfioGuards.Access);

    /// <inheritdoc/>
    public override IReadOnlyList<Mapping> Mappings => Space?.Glance(Device.Group.Model.Runtime) ?? [];

    internal VfioDevice Device { get; }

    /// <inheritdoc/>
    public override string ToString() => $"access of {Device}";

    /// <inheritdoc/>
    internal override UserMemory? ReadMemory(KernelTask task) => _space.Read(task, this, VfioGuards.Access)?.Memory;

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

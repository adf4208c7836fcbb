using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Designs;

/// <summary>A VM of the models.</summary>
/// <param name="name">Its name.</param>
public sealed class ModelVm(string name)
{
    /// <summary>Its name.</summary>
    public string Name { get; } = name;

    /// <summary>Its lock.</summary>
    public KernelMutex Lock { get; } = new(Locks.Kvm);

    /// <summary>Whether the last reference is gone.</summary>
    public bool IsDestroyed { get; set; }

    /// <summary>What its control block holds.</summary>
    public int Plugged { get; set; }
}

/// <summary>A node of the list of guests (design C). As posted it keeps nothing of what it is for (M037, M107).</summary>
public sealed class GuestNode
{
    /// <summary>The VM.</summary>
    public ModelVm? Kvm { get; init; }

    /// <summary>The mediated device.</summary>
    public string? Mdev { get; init; }

    /// <summary>Whether it was freed.</summary>
    public bool IsFreed { get; set; }
}

/// <summary>
/// Design C: the guests in a list of nodes under a lock of its own (M036). As posted: the node does not know its VM
/// (M037), stays when the VM is refused (M039) and leaks at removal (M040), and a failed allocation returns with the lock
/// held (M038).
/// </summary>
/// <param name="asPosted">Whether it is as it was posted, or repaired.</param>
public sealed class GuestList(bool asPosted)
{
    private readonly KernelMutex _guests = new(Locks.Guests);
    private readonly List<GuestNode> _nodes = [];
    private readonly Dictionary<string, ModelVm> _kvmOf = new(StringComparer.Ordinal);

    /// <summary>The nodes.</summary>
    public IReadOnlyList<GuestNode> Nodes => _nodes;

    /// <summary>Attaches a VM to a mediated device.</summary>
    /// <param name="task">The task.</param>
    /// <param name="mdev">The device.</param>
    /// <param name="vm">The VM.</param>
    /// <param name="allocationFails">Whether there is no memory for the node.</param>
    /// <returns>EPERM if another device has the VM, ENOMEM.</returns>
    public async ValueTask<Errno> SetKvmAsync(KernelTask task, string mdev, ModelVm vm, bool allocationFails = false)
    {
        await _guests.LockAsync(task);
        if (allocationFails)
        {
            if (!asPosted)
                _guests.Unlock(task);
            return Errno.ENOMEM;
        }
        GuestNode node = asPosted ? new GuestNode() : new GuestNode { Kvm = vm, Mdev = mdev };
        _nodes.Add(node);
        bool isTaken = _kvmOf.ContainsValue(vm);
        if (!isTaken)
            _kvmOf[mdev] = vm;
        else if (!asPosted)
            _nodes.Remove(node);
        _guests.Unlock(task);
        return isTaken ? Errno.EPERM : Errno.Ok;
    }

    /// <summary>Takes the VM from a mediated device.</summary>
    /// <param name="task">The task.</param>
    /// <param name="mdev">The device.</param>
    public async ValueTask UnsetKvmAsync(KernelTask task, string mdev)
    {
        await _guests.LockAsync(task);
        if (_kvmOf.Remove(mdev, out ModelVm? vm))
            _nodes.RemoveAll(node => node.Kvm == vm);
        _guests.Unlock(task);
    }
}

/// <summary>M047: a lock for the list alone. The VM that is found is not stable once the list's lock is dropped.</summary>
/// <param name="holdsThroughout">Whether the lock is held until the VM is no longer used, as in the final design.</param>
public sealed class ListOnly(bool holdsThroughout) : Design
{
    private readonly KernelMutex _guests = new(Locks.Guests);
    private readonly ModelVm _vm = new("g");
    private ModelVm? _attached;

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        _attached = _vm;
        runtime.Spawn("probe", async task =>
        {
            await _guests.LockAsync(task);
            ModelVm? found = _attached;
            if (!holdsThroughout)
                _guests.Unlock(task);
            if (found is not null)
            {
                await found.Lock.LockAsync(task);
                Require(!found.IsDestroyed, "lifetime: a destroyed VM is locked");
                found.Lock.Unlock(task);
            }
            if (holdsThroughout)
                _guests.Unlock(task);
        });
        runtime.Spawn("close", async task =>
        {
            await _guests.LockAsync(task);
            _attached = null;
            _guests.Unlock(task);
            await _vm.Lock.LockAsync(task);
            _vm.IsDestroyed = true;
            _vm.Lock.Unlock(task);
        });
    }
}

/// <summary>M048: the list's lock is dropped right after the insertion, before the masks are written.</summary>
/// <param name="dropsEarly">Whether it is, or is held until they are.</param>
public sealed class EarlyDrop(bool dropsEarly) : Design
{
    private readonly KernelMutex _guests = new(Locks.Guests);
    private readonly ModelVm _vm = new("g");
    private readonly SharedCell<int> _shadow = new(1);
    private ModelVm? _attached;

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        runtime.Spawn("set_kvm", async task =>
        {
            await _guests.LockAsync(task);
            _attached = _vm;
            if (dropsEarly)
                _guests.Unlock(task);
            int shadow = await _shadow.ReadAsync(task);
            await _vm.Lock.LockAsync(task);
            _vm.Plugged = shadow;
            _vm.Lock.Unlock(task);
            if (!dropsEarly)
                _guests.Unlock(task);
        });
        runtime.Spawn("probe", async task =>
        {
            await _guests.LockAsync(task);
            int shadow = await _shadow.ReadAsync(task) | 2;
            await _shadow.WriteAsync(task, shadow);
            if (_attached is { } vm)
            {
                await vm.Lock.LockAsync(task);
                vm.Plugged = shadow;
                vm.Lock.Unlock(task);
            }
            _guests.Unlock(task);
        });
    }

    /// <inheritdoc/>
    public override void Look() =>
        Require(_vm.Plugged == _shadow.Value, "V02: the guest does not have what was plugged");
}

/// <summary>M049, M052: a node is unlinked under the list's lock and freed after it, while a hook reaches it by another way.</summary>
/// <param name="freesUnderBoth">Whether it is unlinked and freed under the lock that the hook holds too.</param>
public sealed class NodeReachedByHook(bool freesUnderBoth) : Design
{
    private readonly KernelMutex _guests = new(Locks.Guests);
    private readonly KernelMutex _matrix = new(Locks.Matrix);
    private readonly SharedCell<GuestNode?> _nodeOfQueue = new(new GuestNode { Kvm = new ModelVm("g"), Mdev = "m" });

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        GuestNode node = _nodeOfQueue.Value!;
        SharedCell<bool> isFreed = new(false);
        runtime.Spawn("PQAP", async task =>
        {
            await _matrix.LockAsync(task);
            if (await _nodeOfQueue.ReadAsync(task) is not null)
                Require(!await isFreed.ReadAsync(task), "lifetime: a node is read after it was freed");
            _matrix.Unlock(task);
        });
        runtime.Spawn("close", async task =>
        {
            await _guests.LockAsync(task);
            if (freesUnderBoth)
                await _matrix.LockAsync(task);
            await _nodeOfQueue.WriteAsync(task, null);
            if (!freesUnderBoth)
                _guests.Unlock(task);
            node.IsFreed = true;
            await isFreed.WriteAsync(task, true);
            if (freesUnderBoth)
            {
                _matrix.Unlock(task);
                _guests.Unlock(task);
            }
        });
    }
}

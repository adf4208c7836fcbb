using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Designs;

/// <summary>What a chain tells those who registered with it, as bits; each chain has one event.</summary>
[Flags]
public enum NotifierEvents
{
    /// <summary>Nothing.</summary>
    None = 0,
    /// <summary>The group's VM was set or taken away; of the IOMMU's chain, that a range was unmapped.</summary>
    First = 1,
    /// <summary>An event that there is not (M078).</summary>
    Unknown = 2,
}

/// <summary>Whom to tell: those who follow the group, or those who follow its IOMMU.</summary>
public enum NotifierKind
{
    /// <summary>The group.</summary>
    Group,
    /// <summary>The IOMMU.</summary>
    Iommu,
    /// <summary>A kind that there is not (M078).</summary>
    Unknown,
}

/// <summary>
/// Design N (M059, M071, M074): a device learns the VM of its group from a chain of callbacks, which the group calls under
/// its lock whenever the VM changes. What the callbacks answer reaches nobody.
/// </summary>
public sealed class NotifierGroup
{
    private readonly KernelRwSemaphore _lock = new(Locks.GroupSemaphore);
    private readonly List<Func<KernelTask, ModelVm?, ValueTask<Errno>>> _chain = [];
    private readonly List<Func<ulong, ulong, Errno>> _unmaps = [];
    private ModelVm? _kvm;

    /// <summary>Registers a callback; if the group has a VM it is told at once (M077).</summary>
    /// <param name="task">The task.</param>
    /// <param name="kind">Whom to follow.</param>
    /// <param name="events">What to be told of.</param>
    /// <param name="callback">Whom to tell.</param>
    /// <returns>EINVAL for a kind or events that there are not (M078); nothing of what the callback answers.</returns>
    public async ValueTask<Errno> RegisterAsync(KernelTask task, NotifierKind kind, NotifierEvents events, Func<KernelTask, ModelVm?, ValueTask<Errno>> callback)
    {
        if (kind != NotifierKind.Group || events != NotifierEvents.First)
            return Errno.EINVAL;
        await _lock.LockReadAsync(task);
        _chain.Add(callback);
        if (_kvm is not null)
            await callback(task, _kvm);
        _lock.UnlockRead(task);
        return Errno.Ok;
    }

    /// <summary>Registers a callback for unmapped ranges (M059).</summary>
    /// <param name="kind">Whom to follow.</param>
    /// <param name="events">What to be told of.</param>
    /// <param name="callback">Told the first address and the number of bytes; what it answers reaches nobody.</param>
    /// <returns>EINVAL for a kind or events that there are not.</returns>
    public Errno RegisterUnmap(NotifierKind kind, NotifierEvents events, Func<ulong, ulong, Errno> callback)
    {
        if (kind != NotifierKind.Iommu || events != NotifierEvents.First)
            return Errno.EINVAL;
        _unmaps.Add(callback);
        return Errno.Ok;
    }

    /// <summary>Unmaps a range.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="length">Number of bytes.</param>
    public void Unmap(ulong iova, ulong length)
    {
        foreach (Func<ulong, ulong, Errno> callback in _unmaps)
            callback(iova, length);
    }

    /// <summary>Takes a callback off the chain.</summary>
    /// <param name="task">The task.</param>
    /// <param name="callback">The callback.</param>
    public async ValueTask UnregisterAsync(KernelTask task, Func<KernelTask, ModelVm?, ValueTask<Errno>> callback)
    {
        await _lock.LockWriteAsync(task);
        _chain.Remove(callback);
        _lock.UnlockWrite(task);
    }

    /// <summary>Sets the group's VM, or takes it away: every callback runs under the group's lock (M104).</summary>
    /// <param name="task">The task.</param>
    /// <param name="vm">The VM; null to take it away.</param>
    /// <returns>Always success.</returns>
    public async ValueTask<Errno> SetKvmAsync(KernelTask task, ModelVm? vm)
    {
        await _lock.LockWriteAsync(task);
        _kvm = vm;
        foreach (Func<KernelTask, ModelVm?, ValueTask<Errno>> callback in _chain)
            await callback(task, vm);
        _lock.UnlockWrite(task);
        return Errno.Ok;
    }
}

/// <summary>A function with interpretation for a VM, told by a notifier.</summary>
/// <param name="group">Its group.</param>
/// <param name="hasZdev">Whether it is a zPCI function at all (M073).</param>
/// <param name="registrationFails">Whether giving the designation to the firmware fails.</param>
public sealed class NotifiedFunction(NotifierGroup group, bool hasZdev = true, bool registrationFails = false)
{
    /// <summary>The VM whose designation the firmware has; null for none.</summary>
    public ModelVm? Gisa { get; private set; }

    /// <summary>How often it was registered.</summary>
    public int Registrations { get; private set; }

    /// <summary>How often it was unregistered, also when there was nothing to unregister.</summary>
    public int Releases { get; private set; }

    /// <summary>Opens: the hook comes last and can report nothing (M072).</summary>
    /// <param name="task">The task.</param>
    public async ValueTask<Errno> OpenAsync(KernelTask task)
    {
        if (hasZdev)
            await group.RegisterAsync(task, NotifierKind.Group, NotifierEvents.First, TellAsync);
        return Errno.Ok;
    }

    /// <summary>Closes; what may remain is cleaned up again (M076).</summary>
    /// <param name="task">The task.</param>
    public async ValueTask CloseAsync(KernelTask task)
    {
        await group.UnregisterAsync(task, TellAsync);
        Release();
    }

    private ValueTask<Errno> TellAsync(KernelTask task, ModelVm? vm)
    {
        if (vm is null)
        {
            Release();
            return new ValueTask<Errno>(Errno.Ok);
        }
        if (registrationFails)
            return new ValueTask<Errno>(Errno.EIO);
        Registrations++;
        Gisa = vm;
        return new ValueTask<Errno>(Errno.Ok);
    }

    private void Release()
    {
        Releases++;
        Gisa = null;
    }
}

/// <summary>M059: the mediated device of its time, told by the same chain: no VM means to let go of the one there was.</summary>
/// <param name="losesRelease">Whether release checks and clears what it releases in two steps (M090), or in one.</param>
public sealed class NotifiedRelease(bool losesRelease) : Design
{
    private readonly SharedCell<bool> _isReleased = new(false);
    private readonly KernelMutex _once = new(Locks.Released);
    private int _releases;

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        runtime.Spawn("set_kvm(null)", ReleaseAsync);
        runtime.Spawn("close", ReleaseAsync);
    }

    /// <inheritdoc/>
    public override void Look() => Require(_releases == 1, $"released {_releases} times");

    private async ValueTask ReleaseAsync(KernelTask task)
    {
        // An atomic exchange is a read and a write that nobody comes between.
        if (!losesRelease)
            await _once.LockAsync(task);
        bool isReleased = await _isReleased.ReadAsync(task);
        await _isReleased.WriteAsync(task, true);
        if (!losesRelease)
            _once.Unlock(task);
        if (!isReleased)
            _releases++;
    }
}

/// <summary>Design N under the driver's locks: the chain runs whatever its callbacks take under the group's lock.</summary>
/// <param name="opensUnderVm">Whether somebody opens the device while he holds the VM's lock, as user space may make the kernel do.</param>
public sealed class NotifierUnderGroupLock(bool opensUnderVm) : Design
{
    private readonly NotifierGroup _group = new();
    private readonly ModelVm _vm = new("g");

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        runtime.Spawn("set_kvm", async task =>
        {
            await _group.RegisterAsync(task, NotifierKind.Group, NotifierEvents.First, async (caller, vm) =>
            {
                await vm!.Lock.LockAsync(caller);
                vm.Lock.Unlock(caller);
                return Errno.Ok;
            });
            await _group.SetKvmAsync(task, _vm);
        });
        runtime.Spawn("VM's device", async task =>
        {
            if (opensUnderVm)
                await _vm.Lock.LockAsync(task);
            await _group.UnregisterAsync(task, (_, _) => new ValueTask<Errno>(Errno.Ok));
            if (opensUnderVm)
                _vm.Lock.Unlock(task);
        });
    }
}

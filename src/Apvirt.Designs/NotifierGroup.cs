using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
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
    // Guards _kvm.
    private readonly KernelRwSemaphore _lock = new(Locks.GroupSemaphore);
    private ModelVm? _kvm;

    // Guards _chain.
    private readonly KernelRwSemaphore _chainLock = new(Locks.Chain);
    private readonly List<Func<KernelTask, ModelVm?, ValueTask<Errno>>> _chain = [];

    private readonly List<Func<ulong, ulong, Errno>> _unmaps = [];

    /// <summary>What the chain answers the next one who would register; nobody is put on it then (M111).</summary>
    public Errno NextRegistration { get; set; }

    /// <summary>
    /// Registers a callback: it is on the chain at once, and then, if the group has a VM, the whole chain is told of it (M077, M110).
    /// </summary>
    /// <param name="task">The task.</param>
    /// <param name="kind">Whom to follow.</param>
    /// <param name="events">What to be told of.</param>
    /// <param name="callback">Whom to tell.</param>
    /// <returns>EINVAL for a kind or events that there are not (M078); nothing of what the callback answers.</returns>
    public async ValueTask<Errno> RegisterAsync(KernelTask task, NotifierKind kind, NotifierEvents events, Func<KernelTask, ModelVm?, ValueTask<Errno>> callback)
    {
        if (kind != NotifierKind.Group || events != NotifierEvents.First)
            return Errno.EINVAL;
        if (NextRegistration != Errno.Ok)
        {
            Errno error = NextRegistration;
            NextRegistration = Errno.Ok;
            return error;
        }
        await _chainLock.LockWriteAsync(task);
        _chain.Add(callback);
        _chainLock.UnlockWrite(task);
        await _lock.LockReadAsync(task);
        if (_kvm is not null)
            await TellAsync(task, _kvm);
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
        await _chainLock.LockWriteAsync(task);
        _chain.Remove(callback);
        _chainLock.UnlockWrite(task);
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
        await TellAsync(task, vm);
        _lock.UnlockWrite(task);
        return Errno.Ok;
    }

    private async ValueTask TellAsync(KernelTask task, ModelVm? vm)
    {
        await _chainLock.LockReadAsync(task);
        foreach (Func<KernelTask, ModelVm?, ValueTask<Errno>> callback in _chain)
            await callback(task, vm);
        _chainLock.UnlockRead(task);
    }
}

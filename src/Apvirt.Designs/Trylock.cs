using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Designs;

/// <summary>How assigning tests whose the queues are.</summary>
public enum OwnershipTest
{
    /// <summary>B1: under the driver's lock only, so the answer is old at once (M024).</summary>
    Unlocked,
    /// <summary>B2: under the masks' lock inside the driver's, which only a try keeps from deadlocking (M023, M026).</summary>
    Inside,
    /// <summary>D: under the masks' lock outside the driver's (M026).</summary>
    Outside,
}

/// <summary>
/// A store to a mask that wants a queue for the host, while somebody assigns it. The store asks whether the queue is in use
/// and then changes the mask; the assignment asks whose the queue is and then takes it.
/// </summary>
/// <param name="test">The design.</param>
public sealed class StolenQueue(OwnershipTest test) : Design
{
    private readonly KernelMutex _perms = new(Locks.Perms);
    private readonly KernelMutex _matrix = new(Locks.Matrix);
    private readonly SharedCell<bool> _isReserved = new(false);
    private bool _isAssigned;

    /// <summary>What the store answered.</summary>
    public Errno Stored { get; private set; }

    /// <summary>What the assignment answered.</summary>
    public Errno Assigned { get; private set; }

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        runtime.Spawn("mask store", async task => Stored = await StoreAsync(task));
        runtime.Spawn("assign", async task => Assigned = await AssignAsync(task));
    }

    /// <inheritdoc/>
    public override void Look()
    {
        Require(!(_isReserved.Value && _isAssigned), "I13: the queue was stolen: it is assigned and the host's");
        Require(Stored == Errno.Ok || Assigned == Errno.Ok, "V05: both were refused although either could have been done");
    }

    private async ValueTask<Errno> StoreAsync(KernelTask task)
    {
        await _perms.LockAsync(task);
        Errno error = Errno.Ok;
        if (test == OwnershipTest.Outside)
            await _matrix.LockAsync(task);
        else if (!await _matrix.TryLockAsync(task))
            error = Errno.EBUSY;
        if (error == Errno.Ok)
        {
            if (_isAssigned)
                error = Errno.EBUSY;
            await _matrix.UnlockAsync(task);
        }
        if (error == Errno.Ok)
            await _isReserved.WriteAsync(task, true);
        _perms.Unlock(task);
        return error;
    }

    private async ValueTask<Errno> AssignAsync(KernelTask task)
    {
        if (test == OwnershipTest.Outside)
        {
            await _perms.LockAsync(task);
            await _matrix.LockAsync(task);
        }
        else if (!await _matrix.TryLockAsync(task))
        {
            return Errno.EBUSY;
        }
        if (test == OwnershipTest.Inside)
            await _perms.LockAsync(task);
        Errno error = await _isReserved.ReadAsync(task) ? Errno.EADDRNOTAVAIL : Errno.Ok;
        if (error == Errno.Ok)
            _isAssigned = true;
        if (test == OwnershipTest.Inside)
            _perms.Unlock(task);
        await _matrix.UnlockAsync(task);
        if (test == OwnershipTest.Outside)
            _perms.Unlock(task);
        return error;
    }
}

/// <summary>D-B2 (M023): two assignments that have nothing to do with each other.</summary>
/// <param name="tries">Whether an assignment gives up when the lock is taken, as in B, or waits, as in the final design.</param>
public sealed class ParallelAssignments(bool tries) : Design
{
    private readonly KernelMutex _matrix = new(Locks.Matrix);
    private int _assigned;

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        for (int i = 1; i <= 2; i++)
        {
            SharedCell<int> queue = new(0);
            runtime.Spawn($"assign {i}", async task =>
            {
                if (!tries)
                    await _matrix.LockAsync(task);
                else if (!await _matrix.TryLockAsync(task))
                    return;
                await queue.WriteAsync(task, 1);
                _assigned++;
                await _matrix.UnlockAsync(task);
            });
        }
    }

    /// <inheritdoc/>
    public override void Look() => Require(_assigned == 2, "V05: an assignment is refused although nothing conflicts with it");
}

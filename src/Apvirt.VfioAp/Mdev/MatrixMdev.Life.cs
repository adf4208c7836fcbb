using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Queues;

namespace Apvirt.VfioAp.Mdev;

/// <summary>Begin and end of an mdev, and of the queues that are linked to it (vfio-ap.md §8 to §11).</summary>
public sealed partial class MatrixMdev
{
    /// <summary>Puts the mdev on the list.</summary>
    internal async ValueTask PublishAsync(KernelTask task)
    {
        await Owner.GuestsLock.LockAsync(task);
        Owner.Mdevs.AddFirst(this);
        Owner.GuestsLock.Unlock(task);
    }

    /// <summary>Takes the mdev off the list, its queues reset and unlinked. No VM is attached any more.</summary>
    internal async ValueTask RetireAsync(KernelTask task)
    {
        UpdateLocks locks = await Owner.LockForUpdateAsync(task, this);
        CollectLinked();
        await Owner.Resets.RunAsync(task);
        Owner.Resets.Unlink();
        _linked = null;
        ForgetStaleQueues();
        Owner.Mdevs.Remove(this);
        locks.Release();
    }

    /// <summary>A queue that is assigned here was bound: it is linked, and plugged unless a scan is adding to this mdev.</summary>
    internal async ValueTask QueueArrivedAsync(UpdateLocks locks, VfioApQueue queue)
    {
        Link(queue);
        if (Additions.Apm.IsEmpty && Additions.Aqm.IsEmpty)
            await FilterAndUpdateAsync(locks);
    }

    /// <summary>Takes the whole adapter of a leaving queue from the guest; a single queue cannot be withdrawn (M001).</summary>
    internal async ValueTask UnplugAdapterAsync(UpdateLocks locks, VfioApQueue queue)
    {
        int apid = queue.Apqn.Apid;
        _shadow = _shadow with { Apm = _shadow.Apm.Without(apid) };
        UpdateGuest(locks.Task);
        Owner.Resets.Begin();
        Owner.Resets.Add(Owner.Row(apid)!, LinkedDomains(apid) & _shadow.Aqm);
        await Owner.Resets.RunAsync(locks.Task);
    }

    /// <summary>Ids left the host's configuration: the guest loses them at once, without a reset.</summary>
    internal bool RemoveFromShadow(UpdateLocks locks, in MatrixMasks removed)
    {
        MatrixMasks rest = new(_shadow.Apm & ~(removed.Apm & _matrix.Apm), _shadow.Aqm & ~(removed.Aqm & _matrix.Aqm), _shadow.Adm & ~(removed.Adm & _matrix.Adm));
        if (rest == _shadow)
            return false;
        _shadow = rest;
        UpdateGuest(locks.Task);
        return true;
    }

    // 6.12 leaves these pointers to freed memory behind; here they end with the mdev, and so do the pins they stand for.
    private void ForgetStaleQueues()
    {
        for (int apid = 0; StaleQueues > 0 && apid < ApMask.Size; apid++)
        {
            if (Owner.Row(apid) is not { } row)
                continue;
            foreach (int apqi in row.Bound)
            {
                if (row[apqi]!.Mdev != this)
                    continue;
                row[apqi]!.Mdev = null;
                StaleQueues--;
            }
        }
    }
}

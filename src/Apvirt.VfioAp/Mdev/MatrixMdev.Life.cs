using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
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
        if (Owner.Profile.Deviates(task, Quirk.UnlockedInitialisation))
            Initialise(Owner.ReadInfoUnlocked(task));
        GuestsHeld guests = await Owner.LockGuestsAsync(task);
        if (!Owner.Profile.Has(Quirk.UnlockedInitialisation))
            Initialise(Owner.ReadInfo(guests));
        Owner.Add(guests, this);
        guests.Release();
    }

    private void Initialise(in QciInfo info)
    {
        _maxAdapter.Write(Model.Runtime, this, VfioApFields.MaxAdapter, info.HasApxa ? info.MaxAdapter : QciInfo.MaxAdapterWithoutApxa);
        _maxDomain.Write(Model.Runtime, this, VfioApFields.MaxDomain, info.HasApxa ? info.MaxDomain : QciInfo.MaxDomainWithoutApxa);
    }

    /// <summary>Takes the mdev off the list, its queues reset and unlinked. No VM is attached any more.</summary>
    internal async ValueTask RetireAsync(KernelTask task)
    {
        UpdateLocks locks = await Owner.LockForUpdateAsync(task, this);
        CollectLinked(locks.Mdevs);
        await Owner.Resets.RunAsync(locks.Mdevs);
        Owner.Resets.Unlink(locks);
        _linked.Write(task, this, VfioApGuards.Links, null);
        ForgetStaleQueues(locks);
        Owner.Remove(locks, this);
        locks.Release();
    }

    /// <summary>A queue that is assigned here was bound: it is linked, and plugged unless a scan is adding to this mdev.</summary>
    internal ValueTask QueueArrivedAsync(UpdateLocks locks, VfioApQueue queue)
    {
        Link(locks, queue);
        ref readonly MatrixMasks additions = ref ReadAdditions(locks);
        return additions.Apm.IsEmpty && additions.Aqm.IsEmpty ? FilterAndUpdateAsync(locks) : default;
    }

    /// <summary>Takes the whole adapter of a leaving queue from the guest; a single queue cannot be withdrawn (M001).</summary>
    internal ValueTask UnplugAdapterAsync(UpdateLocks locks, VfioApQueue queue)
    {
        int apid = queue.Apqn.Apid;
        ref MatrixMasks shadow = ref ChangeShadow(locks);
        shadow.Apm = shadow.Apm.Without(apid);
        UpdateGuest(locks.Task);
        Owner.Resets.Begin(locks.Mdevs);
        Owner.Resets.Add(locks.Mdevs, Owner.ReadRow(locks.Task, apid)!, ReadLinked(locks.Task, apid) & shadow.Aqm);
        return Owner.Resets.RunAsync(locks.Mdevs);
    }

    /// <summary>Ids left the host's configuration: the guest loses them at once, without a reset.</summary>
    internal bool RemoveFromShadow(UpdateLocks locks, in MatrixMasks removed)
    {
        ref readonly MatrixMasks matrix = ref ReadMatrix(locks.Task);
        ref readonly MatrixMasks shadow = ref ReadShadow(locks.Task);
        MatrixMasks rest = new(
            shadow.Apm & ~(removed.Apm & matrix.Apm), shadow.Aqm & ~(removed.Aqm & matrix.Aqm), shadow.Adm & ~(removed.Adm & matrix.Adm));
        if (rest == shadow)
            return false;
        ChangeShadow(locks) = rest;
        UpdateGuest(locks.Task);
        return true;
    }

    // 6.12 leaves these pointers to freed memory behind; here they end with the mdev, and so do the pins they stand for.
    private void ForgetStaleQueues(UpdateLocks locks)
    {
        if (ReadStaleQueues(locks.Task) == 0)
            return;
        foreach (int apid in Owner.ReadKnownAdapters(locks.Task))
        {
            QueueRow row = Owner.ReadRow(locks.Task, apid)!;
            foreach (int apqi in row.ReadBound(locks.Task))
            {
                VfioApQueue queue = row.ReadQueue(locks.Task, apqi)!;
                if (queue.ReadMdev(locks.Task) != this)
                    continue;
                queue.SetMdev(locks, null);
                CountStale(locks, -1);
            }
        }
    }
}

using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Queues;

namespace Apvirt.VfioAp.Mdev;

/// <summary>Unassigning: the stores that take an id out, and the hot unplug that goes with it (vfio-ap.md §6).</summary>
public sealed partial class MatrixMdev
{
    /// <summary>Unassigns an adapter; one that is not assigned is fine.</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="text">The id.</param>
    /// <returns>EINVAL or ERANGE for the number, ENODEV above the maximum.</returns>
    public ValueTask<Errno> UnassignAdapterAsync(KernelTask task, ReadOnlyMemory<byte> text) => UnassignAsync(task, text, isAdapter: true);

    /// <summary>Unassigns a usage domain; one that is not assigned is fine.</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="text">The id.</param>
    /// <returns>EINVAL or ERANGE for the number, ENODEV above the maximum.</returns>
    public ValueTask<Errno> UnassignDomainAsync(KernelTask task, ReadOnlyMemory<byte> text) => UnassignAsync(task, text, isAdapter: false);

    /// <summary>Unassigns a control domain; one that is not assigned is fine.</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="text">The id.</param>
    /// <returns>EINVAL or ERANGE for the number, ENODEV above the maximum.</returns>
    public async ValueTask<Errno> UnassignControlDomainAsync(KernelTask task, ReadOnlyMemory<byte> text)
    {
        UpdateLocks locks = await Owner.LockForUpdateAsync(task, this);
        Errno error = ParseId(text.Span, MaxDomain, out int apqi);
        if (error == Errno.Ok && ReadMatrix(task).Adm[apqi])
        {
            ref MatrixMasks matrix = ref ChangeMatrix(locks);
            matrix.Adm = matrix.Adm.Without(apqi);
            if (ReadShadow(task).Adm[apqi])
            {
                ref MatrixMasks shadow = ref ChangeShadow(locks);
                shadow.Adm = shadow.Adm.Without(apqi);
                UpdateGuest(task);
            }
        }
        locks.Release();
        return error;
    }

    private ValueTask<Errno> UnassignAsync(KernelTask task, ReadOnlyMemory<byte> text, bool isAdapter)
    {
        ValueTask<UpdateLocks> locks = Owner.LockForUpdateAsync(task, this);
        return locks.IsCompletedSuccessfully ? UnassignLockedAsync(locks.Result, text, isAdapter) : UnassignAfterAsync(locks, text, isAdapter);
    }

    private async ValueTask<Errno> UnassignAfterAsync(ValueTask<UpdateLocks> locks, ReadOnlyMemory<byte> text, bool isAdapter) =>
        await UnassignLockedAsync(await locks, text, isAdapter);

    private ValueTask<Errno> UnassignLockedAsync(UpdateLocks locks, ReadOnlyMemory<byte> text, bool isAdapter)
    {
        Errno error = ParseId(text.Span, isAdapter ? MaxAdapter : MaxDomain, out int id);
        ref readonly MatrixMasks now = ref ReadMatrix(locks.Task);
        if (error == Errno.Ok && (isAdapter ? now.Apm : now.Aqm)[id])
        {
            ref MatrixMasks matrix = ref ChangeMatrix(locks);
            if (isAdapter)
                matrix.Apm = matrix.Apm.Without(id);
            else
                matrix.Aqm = matrix.Aqm.Without(id);
            ValueTask unplug = UnplugAsync(locks, ApMask.Of(id), isAdapter);
            if (!unplug.IsCompletedSuccessfully)
                return FilterAndReleaseAsync(unplug, locks);
            ValueTask update = FilterAfterRemovalAsync(locks);
            if (!update.IsCompletedSuccessfully)
                return ReleaseAfterAsync(update, locks);
        }
        locks.Release();
        return new ValueTask<Errno>(error);
    }

    private ValueTask FilterAfterRemovalAsync(UpdateLocks locks) =>
        Owner.Profile.Deviates(locks.Task, Quirk.NoFilterAfterRemoval) ? default : FilterAndUpdateAsync(locks);

    private async ValueTask<Errno> FilterAndReleaseAsync(ValueTask unplug, UpdateLocks locks)
    {
        await unplug;
        return await ReleaseAfterAsync(FilterAfterRemovalAsync(locks), locks);
    }

    private static async ValueTask<Errno> ReleaseAfterAsync(ValueTask update, UpdateLocks locks)
    {
        await update;
        locks.Release();
        return Errno.Ok;
    }

    /// <summary>
    /// Takes adapters or domains from the guest: their queues are unlinked, the guest is told once, the queues that it had
    /// are reset, and only then lose their link, because freeing their interrupts needs it (M056).
    /// </summary>
    private ValueTask UnplugAsync(UpdateLocks locks, ApMask ids, bool isAdapters)
    {
        Owner.Resets.Begin(locks.Mdevs);
        ref readonly MatrixMasks matrix = ref ReadMatrix(locks.Task);
        ref readonly MatrixMasks shadow = ref ReadShadow(locks.Task);
        ApMask adapters = isAdapters ? ids : matrix.Apm;
        ApMask domains = isAdapters ? matrix.Aqm : ids;
        foreach (int apid in adapters)
        {
            ApMask leaving = ReadLinked(locks.Task, apid) & domains;
            if (leaving.IsEmpty)
                continue;
            Links(locks)[apid] &= ~leaving;
            ApMask plugged = shadow.Apm[apid] ? leaving & shadow.Aqm : ApMask.None;
            Owner.Resets.Add(locks.Mdevs, Owner.ReadRow(locks.Task, apid)!, plugged);
            LeaveUnplugged(locks, apid, leaving & ~plugged);
        }
        bool had = isAdapters ? shadow.Apm.Intersects(ids) : shadow.Aqm.Intersects(ids);
        if (had)
        {
            ref MatrixMasks rest = ref ChangeShadow(locks);
            if (isAdapters)
                rest.Apm &= ~ids;
            else
                rest.Aqm &= ~ids;
            UpdateGuest(locks.Task);
        }
        ValueTask reset = Owner.Resets.RunAsync(locks.Mdevs);
        if (!reset.IsCompletedSuccessfully)
            return UnlinkAfterAsync(locks, reset);
        Owner.Resets.Unlink(locks);
        return default;
    }

    private async ValueTask UnlinkAfterAsync(UpdateLocks locks, ValueTask reset)
    {
        await reset;
        Owner.Resets.Unlink(locks);
    }

    // A queue that the guest did not have is not reset, and in 6.12 keeps its pointer, interrupts and all (F02, F06).
    private void LeaveUnplugged(UpdateLocks locks, int apid, in ApMask domains)
    {
        QueueRow row = Owner.ReadRow(locks.Task, apid)!;
        foreach (int apqi in domains)
        {
            VfioApQueue queue = row.ReadQueue(locks.Task, apqi)!;
            if (Owner.Profile.Deviates(locks.Task, Quirk.StaleQueueLink))
                CountStale(locks, 1);
            else if (queue.ReadInterrupt(locks.Task).IsAny)
                Owner.Resets.Add(locks.Mdevs, queue);
            else
                queue.SetMdev(locks, null);
        }
    }
}

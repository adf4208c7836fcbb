using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioAp.Matrix;

namespace Apvirt.VfioAp.Mdev;

/// <summary>Assigning: the stores that add an id (vfio-ap.md §4).</summary>
public sealed partial class MatrixMdev
{
    /// <summary>Assigns an adapter.</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="text">The id.</param>
    /// <returns>EINVAL or ERANGE for the number, ENODEV above the maximum, EADDRNOTAVAIL, EADDRINUSE.</returns>
    public ValueTask<Errno> AssignAdapterAsync(KernelTask task, ReadOnlyMemory<byte> text) => AssignAsync(task, text, isAdapter: true);

    /// <summary>Assigns a usage domain.</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="text">The id.</param>
    /// <returns>As for <see cref="AssignAdapterAsync"/>.</returns>
    public ValueTask<Errno> AssignDomainAsync(KernelTask task, ReadOnlyMemory<byte> text) => AssignAsync(task, text, isAdapter: false);

    /// <summary>Assigns a control domain; neither ownership nor sharing is checked.</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="text">The id.</param>
    /// <returns>EINVAL or ERANGE for the number, ENODEV above the maximum.</returns>
    public async ValueTask<Errno> AssignControlDomainAsync(KernelTask task, ReadOnlyMemory<byte> text)
    {
        UpdateLocks locks = await Owner.LockForUpdateAsync(task, this);
        Errno error = ParseId(text.Span, MaxDomain, out int apqi);
        if (error == Errno.Ok && !ReadMatrix(task).Adm[apqi])
        {
            ref MatrixMasks matrix = ref ChangeMatrix(locks);
            matrix.Adm = matrix.Adm.With(apqi);
            if (FilterControlDomains(locks))
                UpdateGuest(task);
        }
        locks.Release();
        return error;
    }

    /// <summary>Reads an id (sysfs.md G12) and checks it against a maximum.</summary>
    private static Errno ParseId(ReadOnlySpan<byte> text, int max, out int id)
    {
        Errno error = SysfsNumber.ParseUnsigned(text, out ulong value);
        id = (int)Math.Min(value, int.MaxValue);
        return error != Errno.Ok ? error : value > (ulong)max ? Errno.ENODEV : Errno.Ok;
    }

    // ap_perms_mutex is outside all other locks, so the test for ownership and the assignment are one step (M026).
    private ValueTask<Errno> AssignAsync(KernelTask task, ReadOnlyMemory<byte> text, bool isAdapter)
    {
        ValueTask<ApPermsHeld> perms = Owner.ApBus.LockPermsAsync(task);
        if (!perms.IsCompletedSuccessfully)
            return AssignAfterAsync(perms, task, text, isAdapter);
        ApPermsHeld held = perms.Result;
        ValueTask<UpdateLocks> locks = Owner.LockForUpdateAsync(task, this);
        return locks.IsCompletedSuccessfully ? AssignLockedAsync(held, locks.Result, text, isAdapter) : AssignAfterAsync(held, locks, text, isAdapter);
    }

    private async ValueTask<Errno> AssignAfterAsync(ValueTask<ApPermsHeld> perms, KernelTask task, ReadOnlyMemory<byte> text, bool isAdapter) =>
        await AssignLockedAsync(await perms, await Owner.LockForUpdateAsync(task, this), text, isAdapter);

    private async ValueTask<Errno> AssignAfterAsync(ApPermsHeld perms, ValueTask<UpdateLocks> locks, ReadOnlyMemory<byte> text, bool isAdapter) =>
        await AssignLockedAsync(perms, await locks, text, isAdapter);

    private ValueTask<Errno> AssignLockedAsync(ApPermsHeld perms, UpdateLocks locks, ReadOnlyMemory<byte> text, bool isAdapter)
    {
        Errno error = Assign(perms, locks, text.Span, isAdapter, out bool isNew);
        ValueTask update = isNew ? FilterAndUpdateAsync(locks) : default;
        if (!update.IsCompletedSuccessfully)
            return ReleaseAfterAsync(update, perms, locks);
        locks.Release();
        perms.Release();
        return new ValueTask<Errno>(error);
    }

    private static async ValueTask<Errno> ReleaseAfterAsync(ValueTask update, ApPermsHeld perms, UpdateLocks locks)
    {
        await update;
        locks.Release();
        perms.Release();
        return Errno.Ok;
    }

    private Errno Assign(ApPermsHeld perms, UpdateLocks locks, ReadOnlySpan<byte> text, bool isAdapter, out bool isNew)
    {
        isNew = false;
        ref readonly MatrixMasks now = ref ReadMatrix(locks.Task);
        Errno error = ParseId(text, isAdapter ? MaxAdapter : MaxDomain, out int id);
        if (error != Errno.Ok || (isAdapter ? now.Apm : now.Aqm)[id])
            return error;
        ApMask added = ApMask.Of(id);
        ApMask apm = isAdapter ? now.Apm | added : now.Apm;
        ApMask aqm = isAdapter ? now.Aqm : now.Aqm | added;
        error = Validate(perms, locks, apm, aqm);
        if (error != Errno.Ok)
            return error;
        ref MatrixMasks matrix = ref ChangeMatrix(locks);
        if (isAdapter)
        {
            matrix.Apm = apm;
            LinkAdapter(locks, id, aqm);
        }
        else
        {
            matrix.Aqm = aqm;
            LinkDomains(locks, apm, added);
        }
        isNew = true;
        return Errno.Ok;
    }

    private void LinkDomains(UpdateLocks locks, in ApMask adapters, in ApMask domains)
    {
        foreach (int apid in adapters)
            LinkAdapter(locks, apid, domains);
    }

    // Reserved for the host goes before shared with another mdev (QUIRKS.md 1). Neither asks whether the queues exist.
    private Errno Validate(ApPermsHeld perms, UpdateLocks locks, in ApMask apm, in ApMask aqm)
    {
        if (Owner.ApBus.OwnsAny(perms, apm, aqm))
            return Errno.EADDRNOTAVAIL;
        foreach (MatrixMdev other in Owner.ReadMdevs(locks.Guests))
        {
            if (other == this || !other.ReadMatrix(locks.Task).Intersects(apm, aqm))
                continue;
            LogConflict(locks.Task, other, apm, aqm, "already assigned to");
            return Errno.EADDRINUSE;
        }
        return Errno.Ok;
    }

    /// <summary>One line for each queue that an mdev has and somebody else wants.</summary>
    internal void LogConflict(KernelTask task, MatrixMdev holder, in ApMask apm, in ApMask aqm, string reason)
    {
        KernelLog log = Model.Log;
        if (!log.IsRead)
            return;
        foreach (int apid in holder.ReadMatrix(task).Apm & apm)
        {
            foreach (int apqi in holder.ReadMatrix(task).Aqm & aqm)
                log.Write(LogLevel.Warning, $"vfio_ap_mdev {Name}", $"queue {Apqn.Of(apid, apqi)} {reason} {holder.Name}");
        }
    }
}

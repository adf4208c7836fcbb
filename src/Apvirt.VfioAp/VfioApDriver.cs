using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Mdev;
using Apvirt.VfioAp.Queues;

namespace Apvirt.VfioAp;

/// <summary>The AP driver of queues for guests: what the bus calls (vfio-ap.md §9 to §11).</summary>
public sealed class VfioApDriver : ApDriver
{
    private static readonly AttributeTable QueueFiles = new([new SysfsAttribute<ApQueue>("status", SysfsMode.ReadOnly, ShowStatusAsync)]);

    private readonly MatrixDevice _matrix;

    /// <summary>Makes the driver.</summary>
    /// <param name="bus">The AP bus.</param>
    /// <param name="matrix">The matrix device.</param>
    public VfioApDriver(ApBus bus, MatrixDevice matrix) : base(bus, "vfio_ap") => _matrix = matrix;

    /// <inheritdoc/>
    public override bool IsDefault => false;

    /// <inheritdoc/>
    public override bool TakesQueues => true;

    /// <inheritdoc/>
    public override ValueTask<Errno> ProbeAsync(KernelTask task, Device device)
    {
        ValueTask<GuestsHeld> guests = _matrix.LockGuestsAsync(task);
        return guests.IsCompletedSuccessfully ? ProbeUnderGuestsAsync(guests.Result, (ApQueue)device) : ProbeAfterAsync(guests, (ApQueue)device);
    }

    /// <inheritdoc/>
    public override ValueTask RemoveAsync(KernelTask task, Device device)
    {
        // Before any lock: a running show of the status takes guests_lock (I29).
        ValueTask files = device.RemoveDriverAttributesAsync(task);
        Apqn apqn = ((ApQueue)device).Apqn;
        if (!files.IsCompletedSuccessfully)
            return RemoveAfterAsync(files, task, apqn);
        ValueTask<UpdateLocks> locks = _matrix.LockForQueueAsync(task, apqn);
        return locks.IsCompletedSuccessfully ? RemoveLockedAsync(locks.Result, apqn) : RemoveAfterAsync(locks, apqn);
    }

    private async ValueTask<Errno> ProbeAfterAsync(ValueTask<GuestsHeld> guests, ApQueue device) => await ProbeUnderGuestsAsync(await guests, device);

    private ValueTask<Errno> ProbeUnderGuestsAsync(GuestsHeld guests, ApQueue device)
    {
        MatrixMdev? mdev = _matrix.AssigneeOf(guests, device.Apqn);
        ValueTask<UpdateLocks> locks = _matrix.LockUnderGuestsAsync(guests, mdev);
        return locks.IsCompletedSuccessfully ? ProbeLockedAsync(locks.Result, device, mdev) : ProbeAfterAsync(locks, device, mdev);
    }

    private async ValueTask<Errno> ProbeAfterAsync(ValueTask<UpdateLocks> locks, ApQueue device, MatrixMdev? mdev) =>
        await ProbeLockedAsync(await locks, device, mdev);

    private ValueTask<Errno> ProbeLockedAsync(UpdateLocks locks, ApQueue device, MatrixMdev? mdev)
    {
        device.AddDriverAttributes(locks.Task, QueueFiles);
        VfioApQueue queue = new(device, _matrix.RowFor(locks, device.Apqn.Apid));
        queue.Row.Add(locks, queue);
        ValueTask arrival = mdev?.QueueArrivedAsync(locks, queue) ?? default;
        if (!arrival.IsCompletedSuccessfully)
            return ReleaseAfterAsync(arrival, locks);
        locks.Release();
        return new ValueTask<Errno>(Errno.Ok);
    }

    private static async ValueTask<Errno> ReleaseAfterAsync(ValueTask arrival, UpdateLocks locks)
    {
        await arrival;
        locks.Release();
        return Errno.Ok;
    }

    private async ValueTask RemoveAfterAsync(ValueTask files, KernelTask task, Apqn apqn)
    {
        await files;
        await RemoveLockedAsync(await _matrix.LockForQueueAsync(task, apqn), apqn);
    }

    private async ValueTask RemoveAfterAsync(ValueTask<UpdateLocks> locks, Apqn apqn) => await RemoveLockedAsync(await locks, apqn);

    private ValueTask RemoveLockedAsync(UpdateLocks locks, Apqn apqn)
    {
        VfioApQueue queue = _matrix.ReadQueue(locks.Task, apqn)!;
        MatrixMdev? mdev = queue.ReadMdev(locks.Task);
        bool isInHost = _matrix.ReadInfo(locks.Guests).Contains(apqn);
        ValueTask reset = default;
        if (mdev is not null && mdev.ReadShadow(locks.Task).Contains(apqn))
        {
            reset = mdev.UnplugAdapterAsync(locks, queue);
        }
        else if (isInHost)
        {
            _matrix.Resets.Begin(locks.Mdevs);
            _matrix.Resets.Add(locks.Mdevs, queue);
            reset = _matrix.Resets.RunAsync(locks.Mdevs);
        }
        if (!reset.IsCompletedSuccessfully || !isInHost)
            return ForgetAfterAsync(reset, isInHost, locks, queue, mdev);
        Forget(locks, queue, mdev);
        return default;
    }

    private static async ValueTask ForgetAfterAsync(ValueTask reset, bool isInHost, UpdateLocks locks, VfioApQueue queue, MatrixMdev? mdev)
    {
        await reset;
        if (!isInHost)
            await queue.FreeInterruptResourcesAsync(locks.Task);
        Forget(locks, queue, mdev);
    }

    private static void Forget(UpdateLocks locks, VfioApQueue queue, MatrixMdev? mdev)
    {
        if (mdev is not null && mdev.ReadIsLinked(locks.Task, queue.Apqn))
            mdev.Unlink(locks, queue.Apqn);
        else
            mdev?.CountStale(locks, -1);
        queue.Row.Remove(locks, queue);
        locks.Release();
    }

    /// <inheritdoc/>
    public override async ValueTask<Errno> InUseAsync(KernelTask task, ApMask apm, ApMask aqm)
    {
        GuestsHeld guests = await _matrix.LockGuestsAsync(task);
        MdevsHeld mdevs = await _matrix.LockMdevsAsync(task);
        Errno error = Errno.Ok;
        foreach (MatrixMdev mdev in _matrix.ReadMdevs(guests))
        {
            if (!mdev.ReadMatrix(task).Intersects(apm, aqm))
                continue;
            mdev.LogConflict(task, mdev, apm, aqm, "cannot be reserved for the host driver: in use by");
            error = Errno.EADDRINUSE;
            break;
        }
        mdevs.Release();
        guests.Release();
        return error;
    }

    /// <inheritdoc/>
    public override async ValueTask ConfigurationChangedAsync(KernelTask task, QciInfo now, QciInfo before)
    {
        GuestsHeld guests = await _matrix.LockGuestsAsync(task);
        MatrixMasks removed = new(before.Apm & ~now.Apm, before.Aqm & ~now.Aqm, before.Adm & ~now.Adm);
        MatrixMasks added = new(now.Apm & ~before.Apm, now.Aqm & ~before.Aqm, now.Adm & ~before.Adm);
        if (!_matrix.ReadMdevs(guests).IsEmpty)
            added = added with { Apm = WithoutOldTypes(added.Apm, added.Aqm, now) };
        // What is new is plugged when its queues are there; until then guests are filtered by what stays (M014).
        bool filters = (removed.Apm | removed.Aqm) is { IsEmpty: false } && !_matrix.Profile.Deviates(task, Quirk.NoFilterAfterRemoval);
        if (filters)
            _matrix.SetInfo(guests, now with { Apm = now.Apm & before.Apm, Aqm = now.Aqm & before.Aqm, Adm = now.Adm & before.Adm });
        foreach (MatrixMdev mdev in _matrix.ReadMdevs(guests))
        {
            UpdateLocks locks = await _matrix.LockUnderGuestsAsync(guests, mdev);
            mdev.RemoveFromShadow(locks, removed);
            if (filters)
                await mdev.FilterAndUpdateAsync(locks);
            MatrixMasks matrix = mdev.ReadMatrix(task);
            mdev.SetAdditions(locks, new MatrixMasks(matrix.Apm & added.Apm, matrix.Aqm & added.Aqm, matrix.Adm & added.Adm));
            locks.ReleaseInner();
        }
        _matrix.SetInfo(guests, now);
        guests.Release();
    }

    /// <inheritdoc/>
    public override async ValueTask ScanCompletedAsync(KernelTask task, QciInfo now, QciInfo before)
    {
        GuestsHeld guests = await _matrix.LockGuestsAsync(task);
        foreach (MatrixMdev mdev in _matrix.ReadMdevs(guests))
        {
            UpdateLocks locks = await _matrix.LockUnderGuestsAsync(guests, mdev);
            MatrixMasks additions = mdev.ReadAdditions(locks);
            bool matrix = !additions.Apm.IsEmpty || !additions.Aqm.IsEmpty || !_matrix.Profile.Deviates(task, Quirk.NoFilterAfterRemoval);
            await mdev.FilterAndUpdateAsync(locks, matrix, controlDomains: !additions.Adm.IsEmpty);
            mdev.SetAdditions(locks, default);
            locks.ReleaseInner();
        }
        guests.Release();
    }

    // Adapters too old for the driver are not waited for. 6.12 only asks for domains that are new with them (QUIRKS.md 30).
    private ApMask WithoutOldTypes(in ApMask adapters, in ApMask newDomains, QciInfo now)
    {
        ApMask supported = adapters;
        ApMask domains = _matrix.Profile.Has(Quirk.TypeAskedForNewDomainsOnly) ? newDomains : now.Aqm;
        foreach (int apid in adapters)
        {
            foreach (int apqi in domains)
            {
                ApStatus status = _matrix.Instructions.Tapq(Apqn.Of(apid, apqi), out ApQueueInfo info);
                bool isKnown = status.Code is ApResponse.Normal or ApResponse.ResetInProgress or ApResponse.Deconfigured
                    or ApResponse.Checkstopped or ApResponse.Busy;
                if (!isKnown || info.Type < ApQueueInfo.OldestSupportedType)
                    supported = supported.Without(apid);
            }
        }
        return supported;
    }

    // By the matrix, not by the queue's link: a queue that is assigned but filtered is "assigned" (QUIRKS.md 9).
    private static async ValueTask<Errno> ShowStatusAsync(KernelTask task, ApQueue device, SysfsText text)
    {
        MatrixDevice matrix = ((VfioApDriver)device.Driver!)._matrix;
        GuestsHeld guests = await matrix.LockGuestsAsync(task);
        MdevsHeld mdevs = await matrix.LockMdevsAsync(task);
        MatrixMdev? mdev = matrix.AssigneeOf(guests, device.Apqn);
        if (mdev is null)
            text.Append("unassigned\n"u8);
        else
            text.Append(mdev.ReadKvm(task) is not null && mdev.ReadShadow(task).Contains(device.Apqn) ? "in use\n"u8 : "assigned\n"u8);
        mdevs.Release();
        guests.Release();
        return Errno.Ok;
    }
}

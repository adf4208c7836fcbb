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
        if (error == Errno.Ok && _matrix.Adm[apqi])
        {
            _matrix = _matrix with { Adm = _matrix.Adm.Without(apqi) };
            if (_shadow.Adm[apqi])
            {
                _shadow = _shadow with { Adm = _shadow.Adm.Without(apqi) };
                UpdateGuest(task);
            }
        }
        locks.Release();
        return error;
    }

    private async ValueTask<Errno> UnassignAsync(KernelTask task, ReadOnlyMemory<byte> text, bool isAdapter)
    {
        UpdateLocks locks = await Owner.LockForUpdateAsync(task, this);
        Errno error = ParseId(text.Span, isAdapter ? MaxAdapter : MaxDomain, out int id);
        if (error == Errno.Ok && (isAdapter ? _matrix.Apm : _matrix.Aqm)[id])
        {
            _matrix = isAdapter ? _matrix with { Apm = _matrix.Apm.Without(id) } : _matrix with { Aqm = _matrix.Aqm.Without(id) };
            await UnplugAsync(locks, ApMask.Of(id), isAdapter);
            if (!Owner.Profile.Has(Quirk.NoFilterAfterRemoval))
                await FilterAndUpdateAsync(locks);
        }
        locks.Release();
        return error;
    }

    /// <summary>
    /// Takes adapters or domains from the guest: their queues are unlinked, the guest is told once, the queues that it had
    /// are reset, and only then lose their link, because freeing their interrupts needs it (M056).
    /// </summary>
    private ValueTask UnplugAsync(UpdateLocks locks, ApMask ids, bool isAdapters)
    {
        Owner.Resets.Begin();
        ApMask adapters = isAdapters ? ids : _matrix.Apm;
        ApMask domains = isAdapters ? _matrix.Aqm : ids;
        foreach (int apid in adapters)
        {
            ApMask leaving = LinkedDomains(apid) & domains;
            if (leaving.IsEmpty)
                continue;
            _linked![apid] &= ~leaving;
            ApMask plugged = _shadow.Apm[apid] ? leaving & _shadow.Aqm : ApMask.None;
            Owner.Resets.Add(Owner.Row(apid)!, plugged);
            LeaveUnplugged(apid, leaving & ~plugged);
        }
        bool had = isAdapters ? _shadow.Apm.Intersects(ids) : _shadow.Aqm.Intersects(ids);
        if (had)
        {
            _shadow = isAdapters ? _shadow with { Apm = _shadow.Apm & ~ids } : _shadow with { Aqm = _shadow.Aqm & ~ids };
            UpdateGuest(locks.Task);
        }
        ValueTask reset = Owner.Resets.RunAsync(locks.Task);
        if (!reset.IsCompletedSuccessfully)
            return UnlinkAfterAsync(reset);
        Owner.Resets.Unlink();
        return default;
    }

    private async ValueTask UnlinkAfterAsync(ValueTask reset)
    {
        await reset;
        Owner.Resets.Unlink();
    }

    // A queue that the guest did not have is not reset, and in 6.12 keeps its pointer, interrupts and all (F02, F06).
    private void LeaveUnplugged(int apid, in ApMask domains)
    {
        bool isStale = Owner.Profile.Has(Quirk.StaleQueueLink);
        foreach (int apqi in domains)
        {
            VfioApQueue queue = Owner.Row(apid)![apqi]!;
            if (isStale)
                StaleQueues++;
            else if (queue.HasInterruptResources)
                Owner.Resets.Add(queue);
            else
                queue.Mdev = null;
        }
    }
}

using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioAp.Matrix;

namespace Apvirt.VfioAp.Mdev;

/// <summary>Filtering: what of the matrix the guest can have (vfio-ap.md §3).</summary>
public sealed partial class MatrixMdev
{
    /// <summary>
    /// Computes adapters and domains of the shadow anew. Both are cut to the host's configuration; then every adapter goes
    /// of which one queue is not linked or ended its last reset badly. Domains are never dropped for that.
    /// </summary>
    /// <param name="locks">Proof that the guest stands still.</param>
    /// <param name="withheld">Adapters that the shadow had and has no more because of such a queue.</param>
    /// <returns>Whether the shadow changed.</returns>
    private bool FilterMatrix(UpdateLocks locks, out ApMask withheld)
    {
        withheld = ApMask.None;
        ref readonly MatrixMasks before = ref ReadShadow(locks.Task);
        ref readonly MatrixMasks matrix = ref ReadMatrix(locks.Task);
        ref readonly QciInfo info = ref Owner.ReadInfo(locks.Guests);
        ApMask apm = matrix.Apm & info.Apm;
        ApMask aqm = matrix.Aqm & info.Aqm;
        if (!aqm.IsEmpty)
        {
            ApMask passing = apm;
            foreach (int apid in apm)
            {
                if (aqm.IsSubsetOf(ReadyDomains(locks.Task, apid)))
                    continue;
                passing = passing.Without(apid);
                if (before.Apm[apid])
                    withheld = withheld.With(apid);
            }
            apm = passing;
        }
        if (apm == before.Apm && aqm == before.Aqm)
            return false;
        ref MatrixMasks shadow = ref ChangeShadow(locks);
        shadow.Apm = apm;
        shadow.Aqm = aqm;
        return true;
    }

    /// <summary>Computes the control domains of the shadow anew.</summary>
    private bool FilterControlDomains(UpdateLocks locks)
    {
        ApMask adm = ReadMatrix(locks.Task).Adm & Owner.ReadInfo(locks.Guests).Adm;
        if (adm == ReadShadow(locks.Task).Adm)
            return false;
        ChangeShadow(locks).Adm = adm;
        return true;
    }

    /// <summary>Filters adapters and domains, tells the guest, and resets the queues of adapters that it lost.</summary>
    internal ValueTask FilterAndUpdateAsync(UpdateLocks locks) =>
        FilterMatrix(locks, out ApMask withheld) ? UpdateAndResetAsync(locks, withheld) : default;

    /// <summary>The same for control domains as well, or for them only.</summary>
    internal ValueTask FilterAndUpdateAsync(UpdateLocks locks, bool matrix, bool controlDomains)
    {
        ApMask withheld = ApMask.None;
        bool changed = matrix && FilterMatrix(locks, out withheld);
        if (controlDomains)
            changed |= FilterControlDomains(locks);
        return changed ? UpdateAndResetAsync(locks, withheld) : default;
    }

    private ApMask ReadyDomains(KernelTask task, int apid) =>
        Owner.ReadRow(task, apid) is { } row ? ReadLinked(task, apid) & row.ReadPassable(task) : ApMask.None;

    // The domains are those of the new shadow, so the queue of a domain that was just added is reset too (QUIRKS.md 12).
    private ValueTask UpdateAndResetAsync(UpdateLocks locks, ApMask withheld)
    {
        UpdateGuest(locks.Task);
        if (withheld.IsEmpty)
            return default;
        Owner.Resets.Begin(locks.Mdevs);
        foreach (int apid in withheld)
        {
            ApMask domains = ReadLinked(locks.Task, apid) & ReadShadow(locks.Task).Aqm;
            if (!domains.IsEmpty)
                Owner.Resets.Add(locks.Mdevs, Owner.ReadRow(locks.Task, apid)!, domains);
        }
        ValueTask reset = Owner.Resets.RunAsync(locks.Mdevs);
        return Owner.Profile.Deviates(locks.Task, Quirk.ResetDoesNotFilter) ? reset : FilterAfterAsync(locks, reset);
    }

    // A queue that was the reason to withhold its adapter may have recovered by the reset.
    private async ValueTask FilterAfterAsync(UpdateLocks locks, ValueTask reset)
    {
        await reset;
        await FilterAndUpdateAsync(locks);
    }
}

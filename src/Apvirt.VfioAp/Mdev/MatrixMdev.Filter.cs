using Apvirt.Ap.Architecture;
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
    /// <param name="withheld">Adapters that the shadow had and has no more because of such a queue.</param>
    /// <returns>Whether the shadow changed.</returns>
    private bool FilterMatrix(out ApMask withheld)
    {
        withheld = ApMask.None;
        MatrixMasks before = _shadow;
        ApMask apm = _matrix.Apm & Owner.Info.Apm;
        ApMask aqm = _matrix.Aqm & Owner.Info.Aqm;
        if (!aqm.IsEmpty)
        {
            ApMask passing = apm;
            foreach (int apid in apm)
            {
                if (aqm.IsSubsetOf(ReadyDomains(apid)))
                    continue;
                passing = passing.Without(apid);
                if (before.Apm[apid])
                    withheld = withheld.With(apid);
            }
            apm = passing;
        }
        _shadow = before with { Apm = apm, Aqm = aqm };
        return apm != before.Apm || aqm != before.Aqm;
    }

    /// <summary>Computes the control domains of the shadow anew.</summary>
    private bool FilterControlDomains()
    {
        ApMask adm = _matrix.Adm & Owner.Info.Adm;
        bool changed = adm != _shadow.Adm;
        _shadow = _shadow with { Adm = adm };
        return changed;
    }

    /// <summary>Filters adapters and domains, tells the guest, and resets the queues of adapters that it lost.</summary>
    internal ValueTask FilterAndUpdateAsync(UpdateLocks locks) =>
        FilterMatrix(out ApMask withheld) ? UpdateAndResetAsync(locks, withheld) : default;

    /// <summary>The same for control domains as well, or for them only.</summary>
    internal ValueTask FilterAndUpdateAsync(UpdateLocks locks, bool matrix, bool controlDomains)
    {
        ApMask withheld = ApMask.None;
        bool changed = matrix && FilterMatrix(out withheld);
        if (controlDomains)
            changed |= FilterControlDomains();
        return changed ? UpdateAndResetAsync(locks, withheld) : default;
    }

    private ApMask ReadyDomains(int apid) =>
        _linked is null || Owner.Row(apid) is not { } row ? ApMask.None : _linked[apid] & row.Passable;

    // The domains are those of the new shadow, so the queue of a domain that was just added is reset too (QUIRKS.md 12).
    private ValueTask UpdateAndResetAsync(UpdateLocks locks, ApMask withheld)
    {
        UpdateGuest(locks.Task);
        if (withheld.IsEmpty)
            return default;
        Owner.Resets.Begin();
        foreach (int apid in withheld)
        {
            ApMask domains = LinkedDomains(apid) & _shadow.Aqm;
            if (!domains.IsEmpty)
                Owner.Resets.Add(Owner.Row(apid)!, domains);
        }
        return Owner.Resets.RunAsync(locks.Task);
    }
}

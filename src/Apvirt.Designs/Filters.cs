using Apvirt.Ap.Architecture;

namespace Apvirt.Designs;

/// <summary>
/// The two ways to keep queues that are not ready out of a guest (M009): v11 withheld the domain of such a queue, the
/// final driver withholds its adapter.
/// </summary>
public static class Filters
{
    /// <summary>What a guest has.</summary>
    /// <param name="Apm">Adapters.</param>
    /// <param name="Aqm">Domains.</param>
    public readonly record struct Masks(ApMask Apm, ApMask Aqm);

    /// <summary>F-APQI: a domain with a queue that is not ready is withheld.</summary>
    /// <param name="matrix">What is assigned.</param>
    /// <param name="isReady">Whether a queue is bound and reset.</param>
    public static Masks ByDomain(Masks matrix, Func<Apqn, bool> isReady)
    {
        ApMask aqm = matrix.Aqm;
        foreach (int apqi in matrix.Aqm)
        {
            foreach (int apid in matrix.Apm)
            {
                if (!isReady(Apqn.Of(apid, apqi)))
                    aqm = aqm.Without(apqi);
            }
        }
        return matrix with { Aqm = aqm };
    }

    /// <summary>F-APID: an adapter with a queue that is not ready is withheld.</summary>
    /// <param name="matrix">What is assigned.</param>
    /// <param name="isReady">Whether a queue is bound and reset.</param>
    public static Masks ByAdapter(Masks matrix, Func<Apqn, bool> isReady)
    {
        ApMask apm = matrix.Apm;
        foreach (int apid in matrix.Apm)
        {
            foreach (int apqi in matrix.Aqm)
            {
                if (!isReady(Apqn.Of(apid, apqi)))
                    apm = apm.Without(apid);
            }
        }
        return matrix with { Apm = apm };
    }

    /// <summary>
    /// F-APQI for one domain more (M010): only its own queues are looked at, because all that is plugged was looked at
    /// before.
    /// </summary>
    /// <param name="shadow">What the guest has.</param>
    /// <param name="apqi">The domain.</param>
    /// <param name="isReady">Whether a queue is bound and reset.</param>
    public static Masks AddDomain(Masks shadow, int apqi, Func<Apqn, bool> isReady)
    {
        foreach (int apid in shadow.Apm)
        {
            if (!isReady(Apqn.Of(apid, apqi)))
                return shadow;
        }
        return shadow with { Aqm = shadow.Aqm.With(apqi) };
    }
}

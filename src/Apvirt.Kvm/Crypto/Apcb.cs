using Apvirt.Ap.Architecture;

namespace Apvirt.Kvm.Crypto;

/// <summary>Format of a VM's crypto control block, fixed when the VM is made (kvm.md §2).</summary>
public enum CrycbFormat
{
    /// <summary>No facility 76: APCB0, 64 adapters and 16 domains.</summary>
    Format0 = 0,
    /// <summary>Facility 76 without APXA: the same widths.</summary>
    Format1 = 1,
    /// <summary>Facility 76 and APXA: APCB1, 256 each.</summary>
    Format2 = 3,
}

/// <summary>An AP control block: the masks that the hardware checks each AP instruction of a guest against.</summary>
/// <param name="Apm">Adapters.</param>
/// <param name="Aqm">Usage domains.</param>
/// <param name="Adm">Control domains.</param>
public readonly record struct Apcb(ApMask Apm, ApMask Aqm, ApMask Adm)
{
    private static readonly ApMask ShortAdapters = ApMask.UpTo(63);
    private static readonly ApMask ShortDomains = ApMask.UpTo(15);

    /// <summary>What of these masks fits into a control block of a format.</summary>
    /// <param name="format">The format.</param>
    public Apcb Truncate(CrycbFormat format) =>
        format == CrycbFormat.Format2 ? this : new Apcb(Apm & ShortAdapters, Aqm & ShortDomains, Adm & ShortDomains);

    /// <summary>Whether a guest with this block reaches a queue.</summary>
    /// <param name="apqn">The queue.</param>
    public bool Contains(Apqn apqn) => Apm[apqn.Apid] && Aqm[apqn.Apqi];
}

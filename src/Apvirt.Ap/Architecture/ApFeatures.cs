namespace Apvirt.Ap.Architecture;

/// <summary>The features that PQAP(QCI) reports (ap-bus.md §1).</summary>
[Flags]
public enum ApFeatures
{
    /// <summary>None.</summary>
    None = 0,
    /// <summary>APSC: special command facility.</summary>
    Apsc = 1,
    /// <summary>APXA: extended addressing, 256 adapters and domains.</summary>
    Apxa = 2,
    /// <summary>QACT: query AP compatible type.</summary>
    Qact = 4,
    /// <summary>RC8A: response code 8A.</summary>
    Rc8a = 8,
    /// <summary>APSB: secure binding.</summary>
    Apsb = 16,
}

/// <summary>What PQAP(QCI) answers: what the machine's configuration holds at one moment.</summary>
/// <param name="Features">Feature bits.</param>
/// <param name="MaxAdapter">NA: highest adapter id.</param>
/// <param name="MaxDomain">ND: highest domain id.</param>
/// <param name="Apm">Adapters.</param>
/// <param name="Aqm">Usage domains.</param>
/// <param name="Adm">Control domains.</param>
public sealed record QciInfo(ApFeatures Features, int MaxAdapter, int MaxDomain, ApMask Apm, ApMask Aqm, ApMask Adm)
{
    /// <summary>Without QCI or APXA, the highest adapter id is this.</summary>
    public const int MaxAdapterWithoutApxa = 63;

    /// <summary>Without QCI or APXA, the highest domain id is this.</summary>
    public const int MaxDomainWithoutApxa = 15;

    /// <summary>An empty answer, for a machine without QCI.</summary>
    public static QciInfo Empty { get; } = new(ApFeatures.None, 0, 0, ApMask.None, ApMask.None, ApMask.None);

    /// <summary>Whether extended addressing is there.</summary>
    public bool HasApxa => Features.HasFlag(ApFeatures.Apxa);

    /// <summary>Whether both ids of a queue are in the configuration.</summary>
    /// <param name="apqn">The queue.</param>
    public bool Contains(Apqn apqn) => Apm[apqn.Apid] && Aqm[apqn.Apqi];
}

using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Sharing;

namespace Apvirt.VfioAp.Matrix;

/// <summary>Adapters, usage domains and control domains: what is assigned, or what the guest has. Each is changed in place.</summary>
/// <param name="Apm">Adapters.</param>
/// <param name="Aqm">Usage domains.</param>
/// <param name="Adm">Control domains.</param>
[OwnedBy("The guarded field of an mdev that holds them, or whoever has a copy.")]
public record struct MatrixMasks(ApMask Apm, ApMask Aqm, ApMask Adm)
{
    /// <summary>Whether the matrix holds a queue: both of its ids (M002).</summary>
    /// <param name="apqn">The queue.</param>
    public readonly bool Contains(Apqn apqn) => Apm[apqn.Apid] && Aqm[apqn.Apqi];

    /// <summary>Whether the matrices have a queue in common. A matrix without adapters or without domains has none.</summary>
    /// <param name="apm">Adapters of the other.</param>
    /// <param name="aqm">Domains of the other.</param>
    public readonly bool Intersects(in ApMask apm, in ApMask aqm) => Apm.Intersects(apm) && Aqm.Intersects(aqm);
}

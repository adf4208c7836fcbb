using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.Host.Checks;

/// <summary>
/// Statements that somebody believed to be true, by name, so that they can be disproved (M016). They are looked at only
/// when asked for: that one does not hold is no defect.
/// </summary>
public static class Beliefs
{
    /// <summary>The names.</summary>
    public static IReadOnlyList<string> Names { get; } = [LinkedMeansDomainPlugged.Name];

    /// <summary>The statement of a name, null if there is none.</summary>
    /// <param name="name">The name.</param>
    public static Invariant? Find(string name) => name == LinkedMeansDomainPlugged.Name ? new LinkedMeansDomainPlugged() : null;

    private sealed class LinkedMeansDomainPlugged() : Invariant(Name, "a linked queue has its domain in the shadow", CheckPoint.Step)
    {
        internal const string Name = "linked means domain plugged";

        public override IReadOnlyList<string> DependsOn => ["mdev.qtable", "mdev.shadow"];

        public override void Check(InvariantContext context)
        {
            MatrixDevice matrix = context.Host.VfioAp.Matrix;
            foreach (MatrixMdev mdev in matrix.Mdevs)
            {
                foreach (int apid in matrix.KnownAdapters)
                {
                    Ap.Architecture.ApMask without = mdev.LinkedDomains(apid) & ~mdev.Shadow.Aqm;
                    if (!without.IsEmpty)
                        context.ReportUnpredicted($"queue {Ap.Architecture.Apqn.Of(apid, without.ToList()[0])} is linked to {mdev.Name} and its domain is not in the shadow");
                }
            }
        }
    }
}

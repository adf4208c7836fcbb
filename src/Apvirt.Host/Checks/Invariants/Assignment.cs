using Apvirt.Ap.Architecture;
using Apvirt.Vfio.Mdev;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.Host.Checks.Invariants;

/// <summary>I01: no queue is assigned to two mdevs.</summary>
internal sealed class ExclusiveAssignment() : Invariant("I01", "no queue is assigned to two mdevs", CheckPoint.Unlocked)
{
    public override IReadOnlyList<string> DependsOn => ["mdev.matrix"];

    public override void Check(InvariantContext context)
    {
        MatrixMdev[] mdevs = [.. context.Host.VfioAp.Matrix.Mdevs];
        for (int i = 0; i < mdevs.Length; i++)
        {
            for (int k = i + 1; k < mdevs.Length; k++)
            {
                if (mdevs[i].Matrix.Intersects(mdevs[k].Matrix.Apm, mdevs[k].Matrix.Aqm))
                    context.ReportUnpredicted($"{mdevs[i].Name} and {mdevs[k].Name} have a queue in common");
            }
        }
    }
}

/// <summary>I07: control domains of a guest are assigned and in the host's configuration.</summary>
internal sealed class ControlDomains() : Invariant("I07", "shadow control domains are assigned and in the host's configuration", CheckPoint.Unlocked)
{
    public override IReadOnlyList<string> DependsOn => ["mdev.matrix", "mdev.shadow", "matrix_dev.info"];

    public override void Check(InvariantContext context)
    {
        foreach (MatrixMdev mdev in context.Host.VfioAp.Matrix.Mdevs)
        {
            if (!mdev.Shadow.Adm.IsSubsetOf(mdev.Matrix.Adm & mdev.Owner.Info.Adm))
                context.ReportUnpredicted($"{mdev.Name} has a control domain that is not assigned or not the host's");
        }
    }
}

/// <summary>I08: nothing above the limits is assigned.</summary>
internal sealed class Limits() : Invariant("I08", "no assigned id is above the limits", CheckPoint.Unlocked)
{
    public override IReadOnlyList<string> DependsOn => ["mdev.matrix"];

    public override void Check(InvariantContext context)
    {
        foreach (MatrixMdev mdev in context.Host.VfioAp.Matrix.Mdevs)
        {
            if (!mdev.Matrix.Apm.IsSubsetOf(ApMask.UpTo(mdev.MaxAdapter))
                || !(mdev.Matrix.Aqm | mdev.Matrix.Adm).IsSubsetOf(ApMask.UpTo(mdev.MaxDomain)))
                context.ReportUnpredicted($"{mdev.Name} has an id above the limits");
        }
    }
}

/// <summary>I13, I14: what is assigned is not reserved for the host. Looked at while the masks stand still.</summary>
internal sealed class AssignedNotReserved() : Invariant("I14", "no assigned queue is reserved for the host", CheckPoint.Unlocked)
{
    public override IReadOnlyList<string> DependsOn => ["mdev.matrix", "apmask/aqmask"];

    public override void Check(InvariantContext context)
    {
        if (context.Host.ApBus.PermsMutex.IsHeld)
            return;
        foreach (MatrixMdev mdev in context.Host.VfioAp.Matrix.Mdevs)
        {
            if (mdev.Matrix.Intersects(context.Host.ApBus.AdapterMask, context.Host.ApBus.DomainMask))
                context.ReportUnpredicted($"{mdev.Name} has a queue that is reserved for the host");
        }
    }
}

/// <summary>I39: instances that can be made and those that exist add up.</summary>
internal sealed class Instances() : Invariant("I39", "available and existing instances add up", CheckPoint.Rest)
{
    public override IReadOnlyList<string> DependsOn => ["mdev_list", "mdev_list (delete)"];

    public override void Check(InvariantContext context)
    {
        MdevDevice[] mdevs = [.. context.Host.MdevBus.Devices().OfType<MdevDevice>()];
        foreach (MdevParent parent in mdevs.Select(mdev => mdev.Type.Parent).Append(context.Host.VfioAp.Parent).Distinct())
        {
            int exist = mdevs.Count(mdev => mdev.Type.Parent == parent);
            if (parent.AvailableInstances + exist != parent.MaxInstances)
                context.ReportUnpredicted($"{exist} mdevs of {parent.Device.Name} exist and {parent.AvailableInstances} more can be made");
        }
    }
}

/// <summary>I41: additions wait only while a scan runs.</summary>
internal sealed class Deferral() : Invariant("I41", "additions are pending only during a scan", CheckPoint.Rest)
{
    public override IReadOnlyList<string> DependsOn => ["mdev.apm_add, aqm_add, adm_add"];

    public override void Check(InvariantContext context)
    {
        foreach (MatrixMdev mdev in context.Host.VfioAp.Matrix.Mdevs)
        {
            if (mdev.Additions != default)
                context.ReportUnpredicted($"{mdev.Name} waits for the end of a scan that does not run");
        }
    }
}

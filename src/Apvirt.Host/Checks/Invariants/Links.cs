using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.Host.Checks.Invariants;

/// <summary>I09: a queue is linked if and only if it is bound and assigned.</summary>
internal sealed class LinkIffBoundAndAssigned() : Invariant("I09", "linked means bound and assigned", CheckPoint.Unlocked)
{
    public override IReadOnlyList<string> DependsOn => ["mdev.qtable", "mdev.matrix", "matrix_dev queues"];

    public override void Check(InvariantContext context)
    {
        MatrixDevice matrix = context.Host.VfioAp.Matrix;
        foreach (MatrixMdev mdev in matrix.Mdevs)
        {
            foreach (int apid in matrix.KnownAdapters)
            {
                ApMask bound = mdev.Matrix.Apm[apid] && matrix.Row(apid) is { } row ? row.Bound & mdev.Matrix.Aqm : ApMask.None;
                if (mdev.LinkedDomains(apid) != bound)
                    context.ReportUnpredicted($"the links of {mdev.Name} to adapter {apid:x2} are not the queues that are bound and assigned");
            }
        }
    }
}

/// <summary>I10: a queue points to the mdev that it is linked to, and to none otherwise.</summary>
internal sealed class BackPointer() : Invariant("I10", "a queue points to the mdev that has it", CheckPoint.Unlocked)
{
    private readonly ApMask[] _said = new ApMask[ApMask.Size];

    public override IReadOnlyList<string> DependsOn => ["mdev.qtable", "queue.mdev", "matrix_dev queues"];

    public override void Check(InvariantContext context)
    {
        MatrixDevice matrix = context.Host.VfioAp.Matrix;
        foreach (int apid in matrix.KnownAdapters)
        {
            if (matrix.Row(apid) is not { } row)
                continue;
            ApMask linked = ApMask.None;
            foreach (MatrixMdev mdev in matrix.Mdevs)
                linked |= mdev.LinkedDomains(apid);
            // Queue by queue only to say which one it is, and only once.
            if (linked == row.Pointing || _said[apid] == (linked ^ row.Pointing))
                continue;
            _said[apid] = linked ^ row.Pointing;
            foreach (int apqi in row.Bound)
            {
                Apqn apqn = Apqn.Of(apid, apqi);
                MatrixMdev? back = row[apqi]!.Mdev;
                if (back is not null && !back.IsLinked(apqn))
                    context.Report($"queue {apqn} points to {back.Name}, which it is not linked to");
                else if (back is null && linked[apqi])
                    context.ReportUnpredicted($"queue {apqn} is linked and points nowhere");
            }
        }
    }
}

/// <summary>V02, V03: filtering again changes nothing.</summary>
internal sealed class FilterFixpoint() : Invariant("V02", "filtering again changes nothing", CheckPoint.Rest)
{
    public override IReadOnlyList<string> DependsOn => ["mdev.matrix", "mdev.shadow", "matrix_dev.info", "mdev.qtable", "queue.reset_status"];

    public override void Check(InvariantContext context)
    {
        MatrixDevice matrix = context.Host.VfioAp.Matrix;
        foreach (MatrixMdev mdev in matrix.Mdevs)
        {
            MatrixMasks expected = Filtered(matrix, mdev);
            ref readonly MatrixMasks shadow = ref mdev.Shadow;
            if (expected == shadow)
                continue;
            bool isPhantom = !shadow.Apm.IsSubsetOf(expected.Apm) || !shadow.Aqm.IsSubsetOf(expected.Aqm) || !shadow.Adm.IsSubsetOf(expected.Adm);
            if (isPhantom)
                (context with { Rule = "V03" }).Report($"{mdev.Name} has plugged what filtering would remove");
            else
                context.Report($"{mdev.Name} lacks what filtering would plug");
        }
    }

    private static MatrixMasks Filtered(MatrixDevice matrix, MatrixMdev mdev)
    {
        ApMask apm = mdev.Matrix.Apm & matrix.Info.Apm;
        ApMask aqm = mdev.Matrix.Aqm & matrix.Info.Aqm;
        foreach (int apid in apm)
        {
            ApMask ready = matrix.Row(apid) is { } row ? mdev.LinkedDomains(apid) & row.Passable : ApMask.None;
            if (!aqm.IsSubsetOf(ready))
                apm = apm.Without(apid);
        }
        return new MatrixMasks(apm, aqm, mdev.Matrix.Adm & matrix.Info.Adm);
    }
}

/// <summary>V07: a bound queue has a driver of the pool that it belongs to.</summary>
internal sealed class BindingConverges() : Invariant("V07", "a bound queue has a driver of its pool", CheckPoint.Rest)
{
    public override IReadOnlyList<string> DependsOn => ["apmask/aqmask", "device.driver"];

    public override void Check(InvariantContext context)
    {
        ApMask adapters = context.Host.ApBus.AdapterMask;
        ApMask domains = context.Host.ApBus.DomainMask;
        foreach (ApQueue queue in context.Host.ApBus.Queues())
        {
            bool isHostOwned = adapters[queue.Apqn.Apid] && domains[queue.Apqn.Apqi];
            if (queue.Driver is ApDriver driver && driver.IsDefault != isHostOwned)
                context.ReportUnpredicted($"queue {queue.Apqn} is bound to {driver.Name} and belongs to {(isHostOwned ? "the host" : "vfio_ap")}");
        }
    }
}

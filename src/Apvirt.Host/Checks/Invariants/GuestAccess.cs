using Apvirt.Ap.Architecture;
using Apvirt.Kvm.Crypto;
using Apvirt.Kvm.Machines;
using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Mdev;
using Apvirt.VfioAp.Queues;

namespace Apvirt.Host.Checks.Invariants;

/// <summary>I02: no queue is in the control blocks of two guests.</summary>
internal sealed class ExclusiveGuestAccess() : Invariant("I02", "no queue is in two guests", CheckPoint.Step)
{
    public override IReadOnlyList<string> DependsOn => ["guest APCB", "mdev.kvm"];

    public override void Check(InvariantContext context)
    {
        VirtualMachine[] machines = [.. context.Host.VfioAp.Matrix.Mdevs.Select(m => m.Kvm).OfType<VirtualMachine>()];
        for (int i = 0; i < machines.Length; i++)
        {
            for (int k = i + 1; k < machines.Length; k++)
            {
                Apcb other = machines[k].Apcb;
                if (machines[i].Apcb.Apm.Intersects(other.Apm) && machines[i].Apcb.Aqm.Intersects(other.Aqm))
                    context.ReportUnpredicted($"guests {machines[i].Name} and {machines[k].Name} have a queue in common");
            }
        }
    }
}

/// <summary>I03: a guest has only queues that vfio_ap has. A queue that left the hardware may not be noticed yet.</summary>
internal sealed class NoHostGuestOverlap() : Invariant("I03", "what a guest has is bound to vfio_ap", CheckPoint.Step)
{
    public override IReadOnlyList<string> DependsOn => ["guest APCB", "matrix_dev queues", "mdev.kvm"];

    public override void Check(InvariantContext context)
    {
        MatrixDevice matrix = context.Host.VfioAp.Matrix;
        QciInfo present = context.Host.Hardware.Configuration;
        foreach (MatrixMdev mdev in matrix.Mdevs)
        {
            if (mdev.Kvm is not { } machine)
                continue;
            ApMask domains = machine.Apcb.Aqm & present.Aqm;
            foreach (int apid in machine.Apcb.Apm & present.Apm)
            {
                ApMask bound = matrix.Row(apid) is { } row ? row.Bound : ApMask.None;
                if (!domains.IsSubsetOf(bound))
                    context.ReportUnpredicted($"guest {machine.Name} has queues of adapter {apid:x2} that are not bound to vfio_ap");
            }
        }
    }
}

/// <summary>I04: what is plugged is assigned, in the host's configuration, linked, and did not end its last reset badly.</summary>
internal sealed class ShadowBound() : Invariant("I04", "what is plugged is assigned, configured, linked and passable", CheckPoint.Unlocked)
{
    public override IReadOnlyList<string> DependsOn => ["mdev.matrix", "mdev.shadow", "matrix_dev.info", "mdev.qtable", "queue.reset_status"];

    public override void Check(InvariantContext context)
    {
        MatrixDevice matrix = context.Host.VfioAp.Matrix;
        foreach (MatrixMdev mdev in matrix.Mdevs)
        {
            ref readonly MatrixMasks shadow = ref mdev.Shadow;
            if (!shadow.Apm.IsSubsetOf(mdev.Matrix.Apm & matrix.Info.Apm) || !shadow.Aqm.IsSubsetOf(mdev.Matrix.Aqm & matrix.Info.Aqm))
                context.ReportUnpredicted($"{mdev.Name} would give its guest what is not assigned or not in the host's configuration");
            foreach (int apid in shadow.Apm)
            {
                if (!shadow.Aqm.IsSubsetOf(mdev.LinkedDomains(apid)))
                    context.ReportUnpredicted($"{mdev.Name} would give its guest queues of adapter {apid:x2} that are not linked");
                else if (matrix.Row(apid) is { } row && !shadow.Aqm.IsSubsetOf(row.Passable))
                    context.Report($"{mdev.Name} would give its guest queues of adapter {apid:x2} whose reset failed");
            }
        }
    }
}

/// <summary>I05: the control block of an attached guest is the shadow, as far as its format holds it.</summary>
internal sealed class HardwareIsShadow() : Invariant("I05", "an attached guest has the shadow", CheckPoint.Unlocked)
{
    public override IReadOnlyList<string> DependsOn => ["mdev.shadow", "guest APCB", "mdev.kvm"];

    public override void Check(InvariantContext context)
    {
        foreach (MatrixMdev mdev in context.Host.VfioAp.Matrix.Mdevs)
        {
            if (mdev.Kvm is not { } machine)
                continue;
            Apcb expected = new Apcb(mdev.Shadow.Apm, mdev.Shadow.Aqm, mdev.Shadow.Adm).Truncate(machine.Format);
            if (machine.Apcb != expected)
                context.ReportUnpredicted($"guest {machine.Name} does not have the shadow of {mdev.Name}");
        }
    }
}

/// <summary>I06: a guest without an mdev has nothing.</summary>
internal sealed class UnattachedIsEmpty() : Invariant("I06", "a guest without an mdev has nothing", CheckPoint.Unlocked)
{
    public override IReadOnlyList<string> DependsOn => ["guest APCB", "mdev.kvm"];

    public override void Check(InvariantContext context)
    {
        foreach (VirtualMachine machine in context.Host.Guests.List().Select(g => g.Machine))
        {
            if (machine.Apcb != default && context.Host.VfioAp.Matrix.Mdevs.All(m => m.Kvm != machine))
                context.Report($"guest {machine.Name} has no mdev and yet has queues");
        }
    }
}

/// <summary>
/// I11: a queue that was in a guest is reset before another guest gets it. Leaving the configuration cleans it too. A queue
/// that was never plugged can be armed by its guest all the same, and must not interrupt it when another has the queue.
/// </summary>
internal sealed class ResetBeforeReuse() : Invariant("I11", "a queue is reset before another guest gets it", CheckPoint.Step)
{
    public override IReadOnlyList<string> DependsOn => ["guest APCB"];

    private readonly Dictionary<Apqn, (VirtualMachine Owner, int Resets)> _owners = [];
    private readonly Dictionary<VirtualMachine, Apcb> _seen = [];

    public override void Check(InvariantContext context)
    {
        QciInfo present = context.Host.Hardware.Configuration;
        foreach (MatrixMdev mdev in context.Host.VfioAp.Matrix.Mdevs)
        {
            if (mdev.Kvm is not { } machine || (_seen.TryGetValue(machine, out Apcb seen) && seen == machine.Apcb))
                continue;
            _seen[machine] = machine.Apcb;
            // What the hardware has not got any more, nobody can use; it comes back clean.
            foreach (int apid in machine.Apcb.Apm & present.Apm)
            {
                foreach (int apqi in machine.Apcb.Aqm & present.Aqm)
                    Take(context, Apqn.Of(apid, apqi), machine);
            }
        }
    }

    private static string OwnerOf(InvariantContext context, uint designation) =>
        context.Host.Guests.List().FirstOrDefault(guest => guest.Machine.Options.GisaDesignation == designation) is { } guest ? $"guest {guest.Name}" : "a guest that is gone";

    private void Take(InvariantContext context, Apqn apqn, VirtualMachine machine)
    {
        int resets = context.Host.Hardware.CleaningsOf(apqn);
        if (_owners.TryGetValue(apqn, out (VirtualMachine Owner, int Resets) last) && last.Owner != machine && last.Resets == resets)
            context.ReportUnpredicted($"guest {machine.Name} gets queue {apqn}, not reset since guest {last.Owner.Name} had it");
        if (context.Host.Hardware.ArmedFor(apqn) is { GisaDesignation: not 0 } control && control.GisaDesignation != machine.Options.GisaDesignation)
            context.Report($"guest {machine.Name} gets queue {apqn}, which is armed for {OwnerOf(context, control.GisaDesignation)}");
        _owners[apqn] = (machine, resets);
    }
}

/// <summary>I15: a VM has at most one mdev, and its hook is that mdev's.</summary>
internal sealed class OneMdevPerMachine() : Invariant("I15", "a VM has at most one mdev, which has its hook", CheckPoint.Unlocked)
{
    public override IReadOnlyList<string> DependsOn => ["mdev.kvm", "kvm.pqap_hook", "mdev_list", "mdev_list (delete)"];

    public override void Check(InvariantContext context)
    {
        HashSet<VirtualMachine> seen = [];
        foreach (MatrixMdev mdev in context.Host.VfioAp.Matrix.Mdevs)
        {
            if (mdev.Kvm is not { } machine)
                continue;
            if (!seen.Add(machine))
                context.ReportUnpredicted($"VM {machine.Name} is attached to two mdevs");
            if (machine.PqapHook != mdev)
                context.ReportUnpredicted($"the hook of VM {machine.Name} is not that of {mdev.Name}");
        }
        foreach (VirtualMachine machine in context.Host.Guests.List().Select(g => g.Machine))
        {
            if (machine.PqapHook is not null && !seen.Contains(machine))
                context.Report($"VM {machine.Name} has a hook and no mdev");
        }
    }
}

using Apvirt.Ap.Architecture;
using Apvirt.Devices.Core;
using Apvirt.Host.Guests;
using Apvirt.Kvm.Interrupts;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Mdev;
using Apvirt.VfioAp.Queues;
using Apvirt.VfioPci.Pci;
using Apvirt.VfioPci.Vgpu;

namespace Apvirt.Host.Checks.Invariants;

/// <summary>I18: references to a VM are those of its file, of open devices and of their drivers.</summary>
internal sealed class ReferenceAccounting() : Invariant("I18", "references to a VM add up", CheckPoint.Rest)
{
    public override IReadOnlyList<string> DependsOn => ["mdev.kvm", "device.open_count, device.kvm", "zdev.kzdev, zdev.gisa, kzdev.fib", "gvt attached vGPUs"];

    public override void Check(InvariantContext context)
    {
        foreach (GuestProcess guest in context.Host.Guests.List())
        {
            int expected = VmReference.Of(context.Host, guest).Sum(reference => reference.Count);
            if (guest.Machine.References != expected)
                context.Report($"VM {guest.Name} has {guest.Machine.References} references, expected {expected}");
        }
    }
}

/// <summary>What the invariants of interrupts have in common.</summary>
internal static class BoundQueues
{
    internal static IEnumerable<VfioApQueue> Of(MatrixDevice matrix)
    {
        foreach (int apid in matrix.KnownAdapters)
        {
            if (matrix.Row(apid) is not { } row)
                continue;
            foreach (int apqi in row.Bound)
                yield return row[apqi]!;
        }
    }
}

/// <summary>I20: while a queue of vfio_ap is armed, the page of its notification byte is pinned.</summary>
internal sealed class PinnedNib() : Invariant("I20", "the notification byte of an armed queue is pinned", CheckPoint.Unlocked)
{
    public override IReadOnlyList<string> DependsOn => ["queue.saved_iova, saved_isc", "pins", "queue.mdev", "matrix_dev queues"];

    public override void Check(InvariantContext context)
    {
        if (!context.Host.Hardware.HasArmedQueues)
            return;
        foreach (VfioApQueue queue in BoundQueues.Of(context.Host.VfioAp.Matrix))
        {
            if (!context.Host.Hardware.IsArmedByDriver(queue.Apqn))
                continue;
            if (queue.Interrupt.Nib == 0 || queue.Mdev?.Vfio.Pins.IsPinned(queue.Interrupt.Nib) != true)
                context.Report($"queue {queue.Apqn} is armed and its notification byte is not pinned");
        }
    }
}

/// <summary>I21: a device has pinned exactly the notification bytes of its queues.</summary>
internal sealed class PinBalance() : Invariant("I21", "pins are those of armed queues", CheckPoint.Rest)
{
    public override IReadOnlyList<string> DependsOn => ["queue.saved_iova, saved_isc", "pins", "queue.mdev", "matrix_dev queues"];

    public override void Check(InvariantContext context)
    {
        MatrixDevice matrix = context.Host.VfioAp.Matrix;
        if (matrix.Mdevs.All(m => !m.IsOffered || (m.Vfio.Pins.Count == 0 && m.Kvm is null)))
            return;
        Dictionary<MatrixMdev, int> expected = [];
        foreach (VfioApQueue queue in BoundQueues.Of(matrix))
        {
            if (queue.Interrupt.Nib != 0 && queue.Mdev is { } mdev && mdev.IsLinked(queue.Apqn))
                expected[mdev] = expected.GetValueOrDefault(mdev) + 1;
        }
        foreach (MatrixMdev mdev in matrix.Mdevs.Where(m => m.IsOffered))
        {
            int pins = mdev.Vfio.Pins.Count;
            if (pins != expected.GetValueOrDefault(mdev))
                context.Report($"{mdev.Name} has {pins} pages pinned, expected {expected.GetValueOrDefault(mdev)}");
        }
    }
}

/// <summary>I23: after an unmap nothing in its range is pinned. Looked at from outside, whatever the unmap itself looks at.</summary>
internal sealed class PinsAreMapped() : Invariant("I23", "what is pinned is mapped", CheckPoint.Step)
{
    public override IReadOnlyList<string> DependsOn => ["pins", "mappings", "ioas areas", "access.ioas"];

    public override void Check(InvariantContext context)
    {
        foreach (Device device in context.Host.MdevBus.Devices())
        {
            VfioDevice? vfio = device switch
            {
                MatrixMdev { IsOffered: true } mdev => mdev.Vfio,
                GvtMdev { Vgpu: { } vgpu } => vgpu.Device,
                _ => null,
            };
            if (vfio?.Pins.FindUnmapped() is { } iova)
                context.Report($"page 0x{iova:x} of {vfio} is pinned and not mapped");
        }
    }
}

/// <summary>I22: references to guest subclasses are those of armed queues and forwarded functions, and the alert mask shows which there are.</summary>
internal sealed class IscReferences() : Invariant("I22", "ISC references are those of armed queues and forwarded functions", CheckPoint.Rest)
{
    public override IReadOnlyList<string> DependsOn => ["zdev.kzdev, zdev.gisa, kzdev.fib", "queue.saved_iova, saved_isc", "ISC refcount / alert mask", "mdev.kvm", "queue.mdev", "matrix_dev queues"];

    public override void Check(InvariantContext context)
    {
        MatrixDevice matrix = context.Host.VfioAp.Matrix;
        GuestProcess[] guests = context.Host.Guests.List();
        if (guests.Length == 0)
            return;
        Dictionary<(VirtualMachine, int), int> expected = [];
        foreach (PciSlot slot in context.Host.Pci.Bus.Slots)
        {
            if (slot.Function is { Machine: { } user, Forwarded: { IsOn: true } forwarded })
                expected[(user, forwarded.Subclass)] = expected.GetValueOrDefault((user, forwarded.Subclass)) + 1;
        }
        foreach (VfioApQueue queue in BoundQueues.Of(matrix))
        {
            if (queue.Interrupt.HasIsc && queue.Mdev?.Kvm is { } machine && queue.Mdev.IsLinked(queue.Apqn))
                expected[(machine, queue.Interrupt.Isc)] = expected.GetValueOrDefault((machine, queue.Interrupt.Isc)) + 1;
        }
        foreach (VirtualMachine machine in guests.Select(guest => guest.Machine))
        {
            IReadOnlyList<int> counts = machine.Gisa.Counts;
            for (int isc = 0; isc < Gisa.SubclassCount; isc++)
            {
                int wanted = expected.GetValueOrDefault((machine, isc));
                if (counts[isc] != wanted)
                    context.Report($"VM {machine.Name} has {counts[isc]} references to ISC {isc}, expected {wanted}");
                // Without a GISA nothing alerts.
                if ((counts[isc] > 0 && machine.Gisa.Exists) != ((machine.Gisa.AlertMask & (0x80 >> isc)) != 0))
                    context.Report($"the alert mask of VM {machine.Name} is wrong for ISC {isc}");
            }
        }
    }
}

/// <summary>V08: an interrupt that a waiting vCPU could take is not pending for long.</summary>
internal sealed class InterruptsDelivered() : Invariant("V08", "a pending interrupt wakes a vCPU that waits for it", CheckPoint.Rest)
{
    public override IReadOnlyList<string> DependsOn => ["gisa IPM / IAM / idle vcpus"];

    public override void Check(InvariantContext context)
    {
        foreach (GuestProcess guest in context.Host.Guests.List())
        {
            if (guest.Machine.Gisa.Undelivered != 0 && !guest.Machine.Gisa.IsDelivering)
                context.Report($"a vCPU of VM {guest.Name} waits for an interrupt that is pending: IPM {guest.Machine.Gisa.Pending:x2}, IAM {guest.Machine.Gisa.Alerting:x2}");
        }
    }
}

/// <summary>I43: adapter interrupts are virtualised for the vCPUs of a VM if and only if it has a GISA.</summary>
internal sealed class AivIffGisa() : Invariant("I43", "ECA.AIV of every vCPU if and only if the VM has a GISA", CheckPoint.Step)
{
    public override IReadOnlyList<string> DependsOn => ["vcpu.pv, ECA.AIV", "ISC refcount / alert mask", "kvm.pv"];

    public override void Check(InvariantContext context)
    {
        foreach (GuestProcess guest in context.Host.Guests.List())
        {
            // One vCPU after another is changed.
            if (!context.IsStill(guest.Machine.Protection.IsChangingVcpus) || !guest.Machine.Options.HasAiv)
                continue;
            foreach (Vcpu vcpu in guest.Machine.Vcpus)
            {
                if (vcpu.IsAivActive != guest.Machine.Gisa.Exists && guest.Machine.Gisa.IsPossible)
                    context.ReportUnpredicted($"vCPU {vcpu.Index} of VM {guest.Name} has AIV {(vcpu.IsAivActive ? "on" : "off")}, and the VM has {(guest.Machine.Gisa.Exists ? "a" : "no")} GISA");
            }
        }
    }
}

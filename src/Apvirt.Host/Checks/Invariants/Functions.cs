using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.VfioPci.Pci;
using Apvirt.VfioPci.Vgpu;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.Host.Checks.Invariants;

/// <summary>I35: a function has a designation only for the VM that has it open, and the firmware has the same.</summary>
internal sealed class Designation() : Invariant("I35", "a function's designation is that of the VM that has it open", CheckPoint.Step)
{
    public override IReadOnlyList<string> DependsOn => ["zdev.kzdev, zdev.gisa, kzdev.fib", "device.open_count, device.kvm"];

    public override void Check(InvariantContext context)
    {
        foreach (PciSlot slot in context.Host.Pci.Bus.Slots)
        {
            ZpciFunction function = slot.Function;
            VfioDevice? device = slot.Device?.Vfio?.Device;
            if (!context.IsStill(function.IsChanging || device?.IsChanging == true))
                continue;
            if (function.Gisa != 0 && function.Machine?.Options.GisaDesignation != function.Gisa)
                context.ReportUnpredicted($"{function} has designation 0x{function.Gisa:x}, which is not that of VM {function.Machine?.Name ?? "none"}");
            // F07 takes the VM from the open device, which then closes without ending the association.
            if (function.Gisa != 0 && (device is null || device.OpenCount == 0))
                context.Report($"{function} has a designation and is not open");
            if (function.Firmware.Gisa != function.Gisa)
                context.Report($"{function} has designation 0x{function.Gisa:x} and its firmware 0x{function.Firmware.Gisa:x}");
        }
    }
}

/// <summary>I36: what forwarding ties up is there while it is on.</summary>
internal sealed class ForwardingUse() : Invariant("I36", "forwarded interrupts have a designation, a subclass, pages and an entry", CheckPoint.Step)
{
    public override IReadOnlyList<string> DependsOn => ["zdev.kzdev, zdev.gisa, kzdev.fib", "gait entries", "ISC refcount / alert mask", "kvm.use_zpci_interp, locked pages"];

    public override void Check(InvariantContext context)
    {
        foreach (PciSlot slot in context.Host.Pci.Bus.Slots)
        {
            ZpciFunction function = slot.Function;
            if (!context.IsStill(function.IsChanging) || !function.Forwarded.IsOn)
                continue;
            ForwardingEntry entry = context.Host.Pci.Interrupts.Entry(function.Forwarded.Bit);
            if (function.Gisa == 0 || entry.Count == 0 || entry.Machine != function.Machine || function.Machine is not { } machine)
                context.ReportUnpredicted($"{function} forwards interrupts with designation 0x{function.Gisa:x} to VM {function.Machine?.Name ?? "none"}, and its entry is {entry}");
            else if (machine.Gisa.Counts[function.Forwarded.Subclass] == 0 || machine.LockedPages < function.Forwarded.Pages)
                context.Report($"{function} forwards interrupts without a subclass of VM {machine.Name}, or without its pages");
        }
    }
}

/// <summary>I38: a function has one table of translations, or none.</summary>
internal sealed class Translations() : Invariant("I38", "translations are registered once", CheckPoint.Step)
{
    public override IReadOnlyList<string> DependsOn => ["zdev.kzdev, zdev.gisa, kzdev.fib", "container.groups, container.iommu_driver", "device.open_count, device.kvm"];

    public override void Check(InvariantContext context)
    {
        foreach (PciSlot slot in context.Host.Pci.Bus.Slots)
        {
            if (slot.Function.Firmware.Translations is not (0 or 1))
                context.ReportUnpredicted($"{slot.Function} has {slot.Function.Firmware.Translations} tables of translations");
        }
    }
}

/// <summary>I30 for functions: one that is configured and that no guest uses is enabled for the host, however its last open ended.</summary>
internal sealed class EnabledForHost() : Invariant("I30", "a failed open leaves a function as it was", CheckPoint.Rest)
{
    public override IReadOnlyList<string> DependsOn => ["zdev.kzdev, zdev.gisa, kzdev.fib", "device.open_count, device.kvm"];

    public override void Check(InvariantContext context)
    {
        foreach (PciSlot slot in context.Host.Pci.Bus.Slots)
        {
            if (slot.IsConfigured && slot.Function.Machine is null && context.IsStill(slot.Function.IsChanging) && !slot.Function.Firmware.IsEnabled)
                context.Report($"{slot.Function} is left disabled");
        }
    }
}

/// <summary>M089: a VM has at most one vGPU; I21: a vGPU has pinned the pages that it remembers.</summary>
internal sealed class VgpuUse() : Invariant("I21", "a vGPU has pinned what it remembers", CheckPoint.Rest)
{
    public override IReadOnlyList<string> DependsOn => ["gvt attached vGPUs", "vgpu DMA cache, active, msi trigger", "pins"];

    public override void Check(InvariantContext context)
    {
        foreach (GvtMdev mdev in context.Host.Pci.Vgpus)
        {
            if (mdev.Vgpu is { } vgpu && vgpu.Device.Pins.Count != vgpu.CachedPages)
                context.ReportUnpredicted($"vGPU {mdev.Name} has {vgpu.Device.Pins.Count} pages pinned and remembers {vgpu.CachedPages}");
        }
    }
}

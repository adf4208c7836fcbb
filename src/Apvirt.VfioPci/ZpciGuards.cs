using Apvirt.Kernel.Checking;
using Apvirt.Kvm.Machines;
using Apvirt.VfioPci.Pci;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci;

/// <summary>The guard table of PCI functions (locking.md §2).</summary>
public static class ZpciGuards
{
    /// <summary>The association of a function with a VM.</summary>
    internal static GuardRule<ZpciFunction> Association { get; } = new(
        "zdev.kzdev, zdev.gisa, kzdev.fib",
        write:
        [
            new(ZpciFunction.KzdevClass, function => function.Lock),
            new(VirtualMachine.KvmClass, function => function.Changing?.Lock, "of the VM"),
        ]);

    /// <summary>Whose translations a function has, and the VM whose association with it is being changed.</summary>
    internal static GuardRule<ZpciFunction> Domain { get; } = new(
        "zdev.s390_domain, VM being changed", write: [new(ZpciFunction.KzdevClass, function => function.Lock)]);

    /// <summary>Whether what is plugged in is configured, and its device.</summary>
    internal static GuardRule<PciSlot> Slot { get; } = new(
        "slot state, device", write: [new(PciBus.RescanClass, slot => slot.Bus.RescanLock)], exceptions: "the power file shows the state unlocked");

    /// <summary>The IOMMU groups that several functions share.</summary>
    internal static GuardRule<PciBus> Groups { get; } = new(
        "shared IOMMU groups", write: [new(PciBus.RescanClass, bus => bus.RescanLock)]);

    /// <summary>The eventfd by which user space is asked to let go of a function.</summary>
    internal static GuardRule<VfioPciDevice> Request { get; } = new(
        "vdev.req_trigger", write: [new(VfioPciDevice.GateClass, device => device.Gate)]);

    /// <summary>All rules.</summary>
    public static IReadOnlyList<GuardRule> All { get; } = [Association, Domain, Slot, Groups, Request];
}

using Apvirt.Kernel.Checking;
using Apvirt.Kvm.Machines;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci;

/// <summary>The guard table of zPCI functions (locking.md §2).</summary>
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

    /// <summary>The eventfd by which user space is asked to let go of a function.</summary>
    internal static GuardRule<VfioPciDevice> Request { get; } = new(
        "vdev.req_trigger", write: [new(VfioPciDevice.GateClass, device => device.Gate)]);

    /// <summary>All rules.</summary>
    public static IReadOnlyList<GuardRule> All { get; } = [Association, Request];
}

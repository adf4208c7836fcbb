using Apvirt.Kernel.Checking;
using Apvirt.Kvm.Machines;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci;

/// <summary>The guard table of zPCI functions (locking.md §2).</summary>
public static class ZpciGuards
{
    /// <summary>The association of a function with a VM.</summary>
    internal static GuardRule<ZpciFunction> Association { get; } = new(
        "zdev.kzdev, zdev.gisa",
        write:
        [
            new(ZpciFunction.KzdevClass, function => function.Lock),
            new(VirtualMachine.KvmClass, function => function.Changing?.Lock, "of the VM"),
        ]);

    /// <summary>All rules.</summary>
    public static IReadOnlyList<GuardRule> All { get; } = [Association];
}

using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;

namespace Apvirt.Vfio.Kvm;

/// <summary>A file that a VM can be associated with: that of a group, or a device's own (vfio.md §6).</summary>
public interface IKvmFile
{
    /// <summary>Associates a VM, without a reference to it. Takes a spin lock only.</summary>
    /// <param name="task">The task.</param>
    /// <param name="machine">The VM.</param>
    void SetKvm(KernelTask task, VirtualMachine? machine);

    /// <summary>Ends the association with a VM.</summary>
    /// <param name="task">The task.</param>
    /// <param name="machine">The VM. If another one is associated meanwhile, that association stays (F16).</param>
    void EndKvm(KernelTask task, VirtualMachine machine);
}

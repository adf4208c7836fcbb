using Apvirt.Kernel.Tasks;

namespace Apvirt.Kvm.Machines;

/// <summary>A PCI function of the host that a VM may use without it, as the VM knows it (zpci.md §1).</summary>
public interface IAssociatedFunction
{
    /// <summary>The handle by which user space names it; another one after each enabling and disabling.</summary>
    /// <param name="task">Who reads it.</param>
    uint ReadHandle(KernelTask task);
}

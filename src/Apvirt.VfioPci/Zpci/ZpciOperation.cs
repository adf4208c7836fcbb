using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;

namespace Apvirt.VfioPci.Zpci;

/// <summary>What KVM_S390_ZPCI_OP can be asked to do.</summary>
public enum ZpciOperationCode
{
    /// <summary>KVM_S390_ZPCIOP_REG_AEN: forward adapter interrupts.</summary>
    RegisterInterrupts = 0,
    /// <summary>KVM_S390_ZPCIOP_DEREG_AEN: stop forwarding them.</summary>
    DeregisterInterrupts = 1,
}

/// <summary>KVM_S390_ZPCI_OP of a VM's file (zpci.md §5).</summary>
public static class ZpciOperation
{
    /// <summary>KVM_S390_ZPCIOP_REGAEN_HOST: every interrupt goes through the host.</summary>
    public const uint ThroughHostFlag = 1;

    /// <summary>Runs the operation.</summary>
    /// <param name="task">The task.</param>
    /// <param name="machine">The VM.</param>
    /// <param name="handle">The handle of a function that the VM uses; it changes with each enabling and disabling.</param>
    /// <param name="code">What to do.</param>
    /// <param name="flags">Flags of <see cref="ZpciOperationCode.RegisterInterrupts"/>.</param>
    /// <param name="request">What to forward.</param>
    /// <returns>ENODEV for a handle that none of the VM's functions has, EINVAL for another code or flag, EPERM if another VM has the function meanwhile, else what the operation answers.</returns>
    public static async ValueTask<Errno> RunAsync(
        KernelTask task, VirtualMachine machine, uint handle, ZpciOperationCode code, uint flags = 0, ForwardingRequest request = default)
    {
        if (machine.FindFunction(task, handle) is not ZpciFunction function)
            return Errno.ENODEV;
        return code switch
        {
            ZpciOperationCode.RegisterInterrupts when (flags & ~ThroughHostFlag) == 0 =>
                await function.ForwardAsync(task, machine, request with { ThroughHost = flags == ThroughHostFlag }),
            ZpciOperationCode.DeregisterInterrupts => await function.StopForwardingAsync(task, machine),
            _ => Errno.EINVAL,
        };
    }
}

using Apvirt.Kernel;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;

namespace Apvirt.Kvm.Interception;

/// <summary>Registers of an instruction that is being handled; the handler changes them.</summary>
public sealed class PqapRequest
{
    [OwnedBy("The task of the vCPU has the request alone, from the interception until the guest goes on.")]
    private PqapRegisters _registers;

    /// <summary>Makes a request.</summary>
    /// <param name="registers">The guest's registers.</param>
    public PqapRequest(PqapRegisters registers) => _registers = registers;

    /// <summary>The registers.</summary>
    public ref PqapRegisters Registers => ref _registers;

    /// <summary>Pinning a guest page fails while this is handled, for tests of the unwinding.</summary>
    public bool FailsToPin { get; init; }

    /// <summary>Whether adapter interrupts are virtualised for the vCPU while this is handled, for tests of guests without.</summary>
    public bool HasAiv { get; init; } = true;
}

/// <summary>Who handles AQIC for a VM. There is at most one (M042).</summary>
public interface IPqapHook
{
    /// <summary>Handles an AQIC; called with pqap_hook_rwsem held for read.</summary>
    /// <param name="task">The vCPU's task.</param>
    /// <param name="vcpu">The vCPU.</param>
    /// <param name="request">The guest's registers.</param>
    /// <returns>EOPNOTSUPP if the vCPU cannot be interrupted; the registers are then unchanged.</returns>
    ValueTask<Errno> HandleAsync(KernelTask task, Vcpu vcpu, PqapRequest request);
}

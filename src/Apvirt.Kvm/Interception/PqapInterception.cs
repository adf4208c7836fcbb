using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Crypto;
using Apvirt.Kvm.Machines;

namespace Apvirt.Kvm.Interception;

/// <summary>How an intercepted PQAP ended.</summary>
public enum PqapOutcome
{
    /// <summary>The registers and the condition code are set.</summary>
    Completed,
    /// <summary>The guest gets a privileged-operation exception.</summary>
    PrivilegedOperation,
    /// <summary>The guest gets a specification exception.</summary>
    Specification,
    /// <summary>KVM does not handle it; user space is asked, and has nothing either.</summary>
    NotSupported,
}

/// <summary>Answer to an intercepted PQAP.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="ConditionCode">Condition code, 0 or 3.</param>
public readonly record struct PqapAnswer(PqapOutcome Outcome, int ConditionCode = 0);

/// <summary>Interception of PQAP(AQIC) by KVM: the checks of kvm.md §5 in their order.</summary>
public static class PqapInterception
{
    // Bits of general register 0.
    private const ulong ReservedBits = 0x007f0000;
    private const ulong TBit = 0x00800000;
    private const ulong LongIdBits = 0xc0f0;

    /// <summary>Handles an intercepted PQAP on behalf of a running vCPU.</summary>
    /// <param name="task">The vCPU's task, which holds vcpu->mutex.</param>
    /// <param name="vcpu">The vCPU.</param>
    /// <param name="request">The guest's registers.</param>
    /// <param name="profile">Whose quirks apply.</param>
    public static async ValueTask<PqapAnswer> HandleAsync(KernelTask task, Vcpu vcpu, PqapRequest request, Profile profile)
    {
        if (Refuse(vcpu, request.Registers) is { } refused)
            return new PqapAnswer(refused);
        VirtualMachine machine = vcpu.Machine;
        await machine.HookLock.LockReadAsync(task);
        try
        {
            if (machine.ReadPqapHook(task) is not { } hook)
            {
                if (profile.Has(Quirk.StatusInUpperHalf))
                    request.Registers.ReturnInUpperHalf(ApResponse.NotAvailable);
                else
                    request.Registers.Return(ApResponse.NotAvailable);
                return new PqapAnswer(PqapOutcome.Completed, ConditionCode: 3);
            }
            if (await hook.HandleAsync(task, vcpu, request) != Errno.Ok)
                return new PqapAnswer(PqapOutcome.NotSupported);
            return new PqapAnswer(PqapOutcome.Completed, request.Registers.Response == ApResponse.Normal ? 0 : 3);
        }
        finally
        {
            machine.HookLock.UnlockRead(task);
        }
    }

    private static PqapOutcome? Refuse(Vcpu vcpu, PqapRegisters registers)
    {
        VirtualMachineOptions options = vcpu.Machine.Options;
        if (!vcpu.IsInterpretingAp || registers.Function != PqapRegisters.AqicFunction)
            return PqapOutcome.NotSupported;
        if (!vcpu.IsSupervisor)
            return PqapOutcome.PrivilegedOperation;
        if ((registers.Gr0 & ReservedBits) != 0
            || (!options.HasFacility15 && (registers.Gr0 & TBit) != 0)
            || (vcpu.Machine.Format != CrycbFormat.Format2 && (registers.Gr0 & LongIdBits) != 0)
            || !options.HasFacility65)
        {
            return PqapOutcome.Specification;
        }
        return null;
    }
}

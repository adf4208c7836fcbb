using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Machines;

namespace Apvirt.Kvm.Tests.Interception;

/// <summary>The checks of kvm.md §5 in their order.</summary>
public sealed class PqapInterceptionTests
{
    private const ulong Aqic = 0x03000104;

    private static readonly Profile Strict = new("strict", []);

    private readonly SimulationRuntime _runtime = new();

    /// <summary>Each row fails its check and all later ones, so that the order shows.</summary>
    [Theory]
    [InlineData(2, false, 0x047fffff, false, PqapOutcome.NotSupported)]
    [InlineData(3, true, 0x047fffff, false, PqapOutcome.NotSupported)]
    [InlineData(3, true, 0x00000104, true, PqapOutcome.NotSupported)]
    [InlineData(3, true, 0x83000104, true, PqapOutcome.NotSupported)]
    [InlineData(4, true, 0x037fffff, false, PqapOutcome.PrivilegedOperation)]
    [InlineData(4, true, 0x03000104, false, PqapOutcome.PrivilegedOperation)]
    [InlineData(5, true, 0x03010104, true, PqapOutcome.Specification)]
    [InlineData(5, true, 0x03400104, true, PqapOutcome.Specification)]
    [InlineData(9, true, 0x03000104, true, PqapOutcome.Completed)]
    [InlineData(9, true, 0x03800104, true, PqapOutcome.Completed)]
    [InlineData(9, true, 0xffffffff_0300ffff, true, PqapOutcome.Completed)]
    public void TheFirstCheckThatFailsDecides(int check, bool isInterpreting, ulong gr0, bool isSupervisor, PqapOutcome outcome)
    {
        VirtualMachine machine = Make(new VirtualMachineOptions { IsInterpretingAp = isInterpreting });
        machine.Vcpus[0].IsSupervisor = isSupervisor;
        PqapRequest request = new(new PqapRegisters { Gr0 = gr0, Gr1 = 0x1234 });
        PqapAnswer answer = Handle(machine, request, Strict);
        Assert.Equal(outcome, answer.Outcome);
        if (check < 9)
            Assert.Equal((gr0, 0x1234ul), (request.Registers.Gr0, request.Registers.Gr1));
    }

    [Theory]
    [InlineData(0x03800104, true, true, PqapOutcome.Completed)]
    [InlineData(0x03800104, false, true, PqapOutcome.Specification)]
    [InlineData(0x03000104, false, true, PqapOutcome.Completed)]
    [InlineData(0x03000104, true, false, PqapOutcome.Specification)]
    public void FacilitiesOfTheMachineAreNeeded(ulong gr0, bool hasFacility15, bool hasFacility65, PqapOutcome outcome)
    {
        VirtualMachine machine = Make(new VirtualMachineOptions { HasFacility15 = hasFacility15, HasFacility65 = hasFacility65 });
        Assert.Equal(outcome, Handle(machine, new PqapRequest(new PqapRegisters { Gr0 = gr0 }), Strict).Outcome);
    }

    [Theory]
    [InlineData(0x03003f0f, PqapOutcome.Completed)]
    [InlineData(0x03004000, PqapOutcome.Specification)]
    [InlineData(0x03008000, PqapOutcome.Specification)]
    [InlineData(0x03000010, PqapOutcome.Specification)]
    [InlineData(0x03000080, PqapOutcome.Specification)]
    public void WithoutFormat2TheIdsAreShort(ulong gr0, PqapOutcome outcome)
    {
        foreach ((bool hasApxa, bool hasFacility76) in ((bool, bool)[])[(false, true), (true, false)])
        {
            VirtualMachine machine = Make(new VirtualMachineOptions { HasFacility76 = hasFacility76 }, hasApxa);
            Assert.Equal(outcome, Handle(machine, new PqapRequest(new PqapRegisters { Gr0 = gr0 }), Strict).Outcome);
        }
    }

    [Fact]
    public void WithoutAHookTheAnswerIs01WithConditionCode3WhereTheProfilePutsIt()
    {
        PqapRequest strict = new(new PqapRegisters { Gr0 = Aqic, Gr1 = 0x0000800000000003 });
        Assert.Equal(new PqapAnswer(PqapOutcome.Completed, 3), Handle(Make(new()), strict, Strict));
        Assert.Equal(0x00008000ul, strict.Registers.Gr1 >> 32);
        Assert.Equal(ApResponse.NotAvailable, strict.Registers.Response);
        PqapRequest quirk = new(new PqapRegisters { Gr0 = Aqic, Gr1 = 0x0000800000000003 });
        Assert.Equal(new PqapAnswer(PqapOutcome.Completed, 3), Handle(Make(new()), quirk, Profile.Linux612));
        Assert.Equal(0x00000003ul, quirk.Registers.Gr1 & 0xffffffff);
        Assert.Equal(1ul, quirk.Registers.Gr1 >> 48 & 0xff);
    }

    [Theory]
    [InlineData(Errno.Ok, ApResponse.Normal, PqapOutcome.Completed, 0)]
    [InlineData(Errno.Ok, ApResponse.InvalidAddress, PqapOutcome.Completed, 3)]
    [InlineData(Errno.EOPNOTSUPP, ApResponse.Normal, PqapOutcome.NotSupported, 0)]
    public void TheHookDecidesAndTheConditionCodeFollowsItsResponse(
        Errno error, ApResponse response, PqapOutcome outcome, int conditionCode)
    {
        VirtualMachine machine = Make(new());
        Hook hook = new(error, response);
        KernelTask owner = _runtime.CreateTask("owner");
        Assert.True(machine.HookLock.TryLockWrite(owner));
        machine.SetPqapHook(owner, hook);
        machine.HookLock.UnlockWrite(owner);
        Assert.Equal(
            new PqapAnswer(outcome, conditionCode),
            Handle(machine, new PqapRequest(new PqapRegisters { Gr0 = Aqic }), Strict));
        Assert.True(hook.SawLock);
        KernelTask writer = _runtime.CreateTask("writer");
        Assert.True(machine.HookLock.TryLockWrite(writer));
    }

    private VirtualMachine Make(VirtualMachineOptions options, bool hasApxa = true) => new(_runtime, "g1", hasApxa, options);

    private PqapAnswer Handle(VirtualMachine machine, PqapRequest request, Profile profile)
    {
        KernelTask task = _runtime.CreateTask("vcpu0");
        Assert.True(machine.Vcpus[0].Mutex.TryLock(task));
        PqapAnswer answer = _runtime.Drive(PqapInterception.HandleAsync(task, machine.Vcpus[0], request, profile));
        machine.Vcpus[0].Mutex.Unlock(task);
        return answer;
    }

    private sealed class Hook(Errno error, ApResponse response) : IPqapHook
    {
        public bool SawLock { get; private set; }

        public ValueTask<Errno> HandleAsync(KernelTask task, Vcpu vcpu, PqapRequest request)
        {
            SawLock = task.Holds(vcpu.Machine.HookLock) && task.Holds(vcpu.Mutex);
            if (error == Errno.Ok)
                request.Registers.Return(response);
            return new ValueTask<Errno>(error);
        }
    }
}

using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Machines;

namespace Apvirt.Kvm.Tests;

/// <summary>The checks of kvm.md §5, in their order.</summary>
public sealed class InterceptionTests
{
    private static readonly Apqn Queue = Apqn.Of(4, 4);

    private readonly SimulationRuntime _runtime = new();
    private readonly KernelTask _task;

    public InterceptionTests() => _task = _runtime.CreateTask("vcpu");

    private (PqapAnswer Answer, PqapRequest Request) Run(
        VirtualMachineOptions? options = null, Func<PqapRegisters, PqapRegisters>? change = null, IPqapHook? hook = null,
        bool isSupervisor = true, bool hostHasApxa = true, bool withoutQuirks = false)
    {
        VirtualMachine machine = new("g", hostHasApxa, options ?? new VirtualMachineOptions()) { PqapHook = hook };
        machine.Vcpus[0].IsSupervisor = isSupervisor;
        PqapRegisters registers = PqapRegisters.ForAqic(Queue, new AqicControl(Enable: true, Isc: 3, NotificationByte: 0x2000));
        PqapRequest request = new(change is null ? registers : change(registers));
        Profile profile = withoutQuirks ? new Profile("none", []) : Profile.Linux612;
        return (_runtime.Drive(PqapInterception.HandleAsync(_task, machine.Vcpus[0], request, profile)), request);
    }

    [Fact]
    public void Registers_are_laid_out_as_the_architecture_has_them()
    {
        PqapRegisters registers = PqapRegisters.ForAqic(Apqn.Of(0x12, 0x34), new AqicControl(Enable: true, Isc: 5, NotificationByte: 0x1234));
        Assert.Equal(0x03001234u, registers.Gr0);
        Assert.Equal((1UL << 47) | 5, registers.Gr1);
        Assert.Equal(0x1234u, registers.Gr2);
        Assert.Equal((3, Apqn.Of(0x12, 0x34), true, (byte)5), (registers.Function, registers.Apqn, registers.IsEnable, registers.Isc));
    }

    [Fact]
    public void Another_function_is_not_handled() =>
        Assert.Equal(PqapOutcome.NotSupported, Run(change: r => r with { Gr0 = 0x04000404 }, isSupervisor: false).Answer.Outcome);

    [Fact]
    public void Without_interpretation_nothing_is_handled() =>
        Assert.Equal(PqapOutcome.NotSupported, Run(new VirtualMachineOptions { IsInterpretingAp = false }, isSupervisor: false).Answer.Outcome);

    [Fact]
    public void Problem_state_goes_before_bad_operands() =>
        Assert.Equal(PqapOutcome.PrivilegedOperation, Run(change: r => r with { Gr0 = r.Gr0 | 0x00010000 }, isSupervisor: false).Answer.Outcome);

    [Theory]
    [InlineData(0x00010000, true, true, true)]
    [InlineData(0x00800000, false, true, true)]
    [InlineData(0x00004000, true, true, false)]
    [InlineData(0x00000010, true, true, false)]
    [InlineData(0, true, false, true)]
    public void Bad_operands_are_a_specification_exception(long bits, bool facility15, bool facility65, bool apxa) =>
        Assert.Equal(
            PqapOutcome.Specification,
            Run(
                new VirtualMachineOptions { HasFacility15 = facility15, HasFacility65 = facility65 },
                r => r with { Gr0 = r.Gr0 | (ulong)bits },
                hostHasApxa: apxa).Answer.Outcome);

    [Fact]
    public void Without_a_hook_the_guest_gets_01_and_condition_3_in_the_wrong_half()
    {
        (PqapAnswer answer, PqapRequest request) = Run();
        Assert.Equal(new PqapAnswer(PqapOutcome.Completed, 3), answer);
        Assert.Equal(ApResponse.Normal, request.Registers.Response);
        Assert.Equal(1u, request.Registers.Gr1 >> 48 & 0xff);
    }

    [Fact]
    public void Without_the_quirk_the_status_is_where_it_belongs() =>
        Assert.Equal(ApResponse.NotAvailable, Run(withoutQuirks: true).Request.Registers.Response);

    [Theory]
    [InlineData(ApResponse.Normal, 0)]
    [InlineData(ApResponse.InvalidAddress, 3)]
    public void The_condition_code_follows_the_response(ApResponse response, int condition) =>
        Assert.Equal(new PqapAnswer(PqapOutcome.Completed, condition), Run(hook: new Hook(response)).Answer);

    private sealed class Hook(ApResponse response) : IPqapHook
    {
        public ValueTask<Errno> HandleAsync(KernelTask task, Vcpu vcpu, PqapRequest request)
        {
            Assert.True(task.Holds(vcpu.Machine.HookLock));
            request.Registers.Return(response);
            return new ValueTask<Errno>(Errno.Ok);
        }
    }
}

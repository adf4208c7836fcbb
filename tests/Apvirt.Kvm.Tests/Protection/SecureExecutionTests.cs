using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Kvm.Protection;

namespace Apvirt.Kvm.Tests.Protection;

/// <summary>Secure execution (kvm.md §6, §7).</summary>
public sealed class SecureExecutionTests
{
    private const int Vcpus = 3;

    private readonly SimulationRuntime _runtime = new() { Checks = new KernelChecks() };
    private readonly KernelTask _task;

    public SecureExecutionTests() => _task = _runtime.CreateTask("test");

    private VirtualMachine Make(Ultravisor? ultravisor) =>
        new(_runtime, "g", hostHasApxa: true, new VirtualMachineOptions { VcpuCount = Vcpus, Ultravisor = ultravisor });

    private Errno Run(VirtualMachine machine, PvCommand command, uint flags = 0, Profile? profile = null, bool isInterrupted = false) =>
        _runtime.Drive(machine.Protection.RunAsync(_task, command, flags, profile ?? Profile.Strict, isInterrupted));

    private static (bool IsProtected, int SecureCpus, bool HasGisa, bool HasAiv) StateOf(VirtualMachine machine) =>
        (machine.Protection.State.IsProtected, machine.Vcpus.Count(v => v.IsSecure), machine.Gisa.Exists, machine.Vcpus.All(v => v.IsAivActive));

    [Fact]
    public void Without_an_ultravisor_or_with_flags_every_command_is_refused()
    {
        VirtualMachine without = Make(null);
        VirtualMachine with = Make(new Ultravisor(_runtime, hasAiv: true));
        foreach (PvCommand command in Enum.GetValues<PvCommand>())
        {
            Assert.Equal(Errno.EINVAL, Run(without, command));
            Assert.Equal(Errno.EINVAL, Run(with, command, flags: 1));
        }
        Assert.Equal(Errno.ENOTTY, Run(with, (PvCommand)99));
    }

    [Fact]
    public void Commands_ask_for_a_vm_that_is_as_they_need_it()
    {
        PvCommand[] ofSecure = [PvCommand.Disable, PvCommand.AsyncPrepare, PvCommand.SetSecParms, PvCommand.Unpack, PvCommand.Verify, PvCommand.PrepReset, PvCommand.UnshareAll, PvCommand.Dump];
        Ultravisor ultravisor = new(_runtime, hasAiv: true);
        VirtualMachine machine = Make(ultravisor);
        foreach (PvCommand command in ofSecure)
            Assert.Equal(Errno.EINVAL, Run(machine, command));
        Assert.Equal(Errno.Ok, Run(machine, PvCommand.Enable));
        Assert.Equal((true, Vcpus, true, true), StateOf(machine));
        Assert.True(machine.Protection.State.MasksServiceSignals);
        Assert.Equal((1, Vcpus), (ultravisor.Vms, ultravisor.Cpus));
        Assert.Equal(Errno.EINVAL, Run(machine, PvCommand.Enable));
        foreach (PvCommand command in ofSecure[2..])
            Assert.Equal(Errno.Ok, Run(machine, command));
        Assert.Equal(Errno.Ok, Run(machine, PvCommand.Disable));
        Assert.Equal((false, 0, true, true), StateOf(machine));
        Assert.False(machine.Protection.State.MasksServiceSignals);
        Assert.Equal((0, 0), (ultravisor.Vms, ultravisor.Cpus));
    }

    [Fact]
    public void Without_aiv_in_the_ultravisor_the_gisa_goes_and_comes_back()
    {
        VirtualMachine machine = Make(new Ultravisor(_runtime, hasAiv: false));
        Assert.Equal(Errno.Ok, Run(machine, PvCommand.Enable));
        Assert.Equal((true, Vcpus, false, false), StateOf(machine));
        Assert.Equal(0u, machine.Gisa.Designation);
        Assert.Equal(Errno.ENODEV, machine.Gisa.Register(_task, 3, out _));
        Assert.Equal(Errno.Ok, Run(machine, PvCommand.Disable));
        Assert.Equal((false, 0, true, true), StateOf(machine));
        Assert.Equal(Errno.Ok, machine.Gisa.Register(_task, 3, out _));
    }

    // At each call of the ultravisor, with each error that it can have.
    public static TheoryData<UltravisorCall, int, Errno, bool> Faults
    {
        get
        {
            TheoryData<UltravisorCall, int, Errno, bool> faults = [];
            foreach (bool hasAiv in (bool[])[true, false])
            {
                faults.Add(UltravisorCall.CreateVm, 0, Errno.ENOMEM, hasAiv);
                faults.Add(UltravisorCall.CreateVm, 0, Errno.EIO, hasAiv);
                for (int vcpu = 0; vcpu < Vcpus; vcpu++)
                    faults.Add(UltravisorCall.CreateCpu, vcpu, Errno.EIO, hasAiv);
            }
            return faults;
        }
    }

    [Theory]
    [MemberData(nameof(Faults))]
    public void A_failing_start_leaves_nothing(UltravisorCall call, int after, Errno error, bool hasAiv)
    {
        Ultravisor ultravisor = new(_runtime, hasAiv);
        VirtualMachine machine = Make(ultravisor);
        machine.Gisa.Register(_task, 3, out _);
        ultravisor.Inject(call, after, error);
        Assert.Equal(error, Run(machine, PvCommand.Enable));
        Assert.Equal((false, 0, true, true), StateOf(machine));
        Assert.Equal(default, machine.Protection.State);
        Assert.Equal((0, 0), (ultravisor.Vms, ultravisor.Cpus));
        Assert.Equal(0x80 >> 3, machine.Gisa.AlertMask);
        Assert.Equal(Errno.Ok, Run(machine, PvCommand.Enable));
    }

    [Fact]
    public void A_failing_start_leaves_its_masks_in_linux_612()
    {
        Ultravisor ultravisor = new(_runtime, hasAiv: true);
        VirtualMachine machine = Make(ultravisor);
        ultravisor.Inject(UltravisorCall.CreateVm, 0, Errno.ENOMEM);
        Assert.Equal(Errno.ENOMEM, Run(machine, PvCommand.Enable, profile: Profile.Linux612));
        Assert.Equal(new SecureState { HasExtendedSca = true }, machine.Protection.State);
        ultravisor.Inject(UltravisorCall.CreateCpu, 1, Errno.EIO);
        Assert.Equal(Errno.EIO, Run(machine, PvCommand.Enable, profile: Profile.Linux612));
        Assert.Equal(new SecureState { HasExtendedSca = true, MasksServiceSignals = true }, machine.Protection.State);
    }

    [Fact]
    public void A_vcpu_that_cannot_be_destroyed_keeps_the_vm_secure()
    {
        Ultravisor ultravisor = new(_runtime, hasAiv: false);
        VirtualMachine machine = Make(ultravisor);
        Run(machine, PvCommand.Enable);
        ultravisor.Inject(UltravisorCall.DestroyCpu, 1, Errno.EINVAL);
        Assert.Equal(Errno.EIO, Run(machine, PvCommand.Disable));
        // The others have gone on, and the GISA is back.
        Assert.Equal((true, 1, true, true), StateOf(machine));
        Assert.Equal(1, ultravisor.Vms);
        Assert.Equal(Errno.Ok, Run(machine, PvCommand.Disable));
        Assert.Equal((0, 0), (ultravisor.Vms, ultravisor.Cpus));
    }

    [Fact]
    public void What_is_set_aside_is_destroyed_without_the_lock_and_put_back_by_a_signal()
    {
        Ultravisor ultravisor = new(_runtime, hasAiv: true);
        VirtualMachine machine = Make(ultravisor);
        Assert.Equal(Errno.EINVAL, Run(machine, PvCommand.AsyncPerform));
        Run(machine, PvCommand.Enable);
        Assert.Equal(Errno.Ok, Run(machine, PvCommand.AsyncPrepare));
        Assert.Equal((false, 0, true, true), StateOf(machine));
        Assert.Equal((1, 1), (machine.Protection.State.SetAside, ultravisor.Vms));
        Run(machine, PvCommand.Enable);
        Assert.Equal(Errno.EINVAL, Run(machine, PvCommand.AsyncPrepare));
        Assert.Equal(Errno.Ok, Run(machine, PvCommand.AsyncPerform, isInterrupted: true));
        Assert.Equal((0, 1, 2), (machine.Protection.State.SetAside, machine.Protection.State.Leftovers, ultravisor.Vms));
        Assert.Equal(Errno.EINVAL, Run(machine, PvCommand.AsyncPerform));
        Assert.Equal(Errno.Ok, Run(machine, PvCommand.Disable));
        Assert.Equal((0, 0), (ultravisor.Vms, machine.Protection.State.Leftovers));
        Run(machine, PvCommand.Enable);
        Run(machine, PvCommand.AsyncPrepare);
        Assert.Equal(Errno.Ok, Run(machine, PvCommand.AsyncPerform));
        Assert.Equal(0, ultravisor.Vms);
    }

    [Fact]
    public void A_secure_vm_that_ends_leaves_nothing_in_the_ultravisor()
    {
        Ultravisor ultravisor = new(_runtime, hasAiv: true);
        VirtualMachine machine = Make(ultravisor);
        Run(machine, PvCommand.Enable);
        Run(machine, PvCommand.AsyncPrepare);
        Run(machine, PvCommand.Enable);
        machine.Put(_task);
        Assert.Equal((0, 0), (ultravisor.Vms, ultravisor.Cpus));
        Assert.Empty(_runtime.Checks!.Violations.ToArray());
    }

    [Theory]
    [InlineData(PvCommand.Disable)]
    [InlineData(PvCommand.AsyncPrepare)]
    public void F19_what_was_registered_before_alerts_again_only_under_strict(PvCommand back)
    {
        foreach (Profile profile in Profile.All)
        {
            VirtualMachine machine = Make(new Ultravisor(_runtime, hasAiv: false));
            machine.Gisa.Register(_task, 3, out _);
            Run(machine, PvCommand.Enable, profile: profile);
            Assert.Equal(0, machine.Gisa.AlertMask);
            bool forgets = profile.Has(Quirk.SubclassesForgotten);
            Assert.Equal(forgets ? Errno.ENODEV : Errno.Ok, machine.Gisa.Unregister(_task, 3, profile));
            Run(machine, back, profile: profile);
            machine.Gisa.Register(_task, 3, out _);
            Assert.Equal(forgets ? 2 : 1, machine.Gisa.Counts[3]);
            Assert.Equal(forgets ? 0 : 0x80 >> 3, machine.Gisa.AlertMask);
        }
    }
}

using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci.Tests;

/// <summary>Forwarding of adapter interrupts (zpci.md §5, I36, I37).</summary>
public sealed class ForwardingTests
{
    private static readonly ForwardingRequest Request = new(Vector: 0x3000, Subclass: 4, Interrupts: 16, Summary: 0x5008);

    private readonly SimulationRuntime _runtime = new() { Checks = new KernelChecks(Apvirt.Host.Checks.LockOrder.Declared) };
    private readonly PciSystem _s;
    private readonly ZpciFunction _function;
    private readonly VfioDeviceFile _file;

    public ForwardingTests()
    {
        _s = new PciSystem(_runtime, operation => _runtime.Drive(operation(), TimeSpan.FromSeconds(1)));
        (VfioPciDevice driver, _function) = _s.AddFunction("function", 0x11);
        _file = _s.Open(driver.Device).File!;
    }

    private Errno Forward(ForwardingRequest request, uint? handle = null, VirtualMachine? machine = null, uint flags = 0) =>
        Run(ZpciOperationCode.RegisterInterrupts, handle, machine, flags, request);

    private Errno Stop(uint? handle = null) => Run(ZpciOperationCode.DeregisterInterrupts, handle, machine: null, flags: 0, default);

    private Errno Run(ZpciOperationCode code, uint? handle, VirtualMachine? machine, uint flags, ForwardingRequest request)
    {
        Errno error = default;
        _s.Do(async () => error = await ZpciOperation.RunAsync(_s.Task, machine ?? _s.G, handle ?? _function.Firmware.Handle, code, flags, request));
        return error;
    }

    private void AssertOff()
    {
        Assert.False(_function.Forwarded.IsOn);
        Assert.Equal((0UL, 0, 0), (_s.Interrupts.Used, _s.G.Gisa.Counts.Sum(), _s.G.LockedPages));
        Assert.All(Enumerable.Range(0, AdapterInterruptTable.Bits), bit => Assert.Equal(default, _s.Interrupts.Entry(bit)));
    }

    [Fact]
    public void Forwarding_is_turned_on_once_and_what_the_firmware_was_told_stays()
    {
        AdapterInterruptTable table = new(_s.Task.Runtime);
        Errno Enable(int subclass)
        {
            Errno error = Errno.Ok;
            _s.Do(async () => error = await table.EnableAsync(_s.Task, subclass));
            return error;
        }
        foreach ((ForwardingInitStep step, Errno expected, bool isRegistered) in ((ForwardingInitStep, Errno, bool)[])
            [
                (ForwardingInitStep.AllocateTable, Errno.ENOMEM, false), (ForwardingInitStep.AllocatePages, Errno.ENOMEM, false),
                (ForwardingInitStep.SetControls, Errno.EIO, false), (ForwardingInitStep.EnableInterrupt, Errno.EIO, true),
            ])
        {
            table.Inject(step);
            Assert.Equal((expected, false, isRegistered), (Enable(5), table.IsEnabled, table.IsRegistered));
        }
        Assert.Equal(Errno.EINVAL, Enable(6));
        Assert.Equal((Errno.Ok, true), (Enable(5), table.IsEnabled));
        Assert.Equal(Errno.EPERM, Enable(5));
        _s.Do(() => table.DisableAsync(_s.Task));
        Assert.Equal((false, true), (table.IsEnabled, table.IsRegistered));
        // The pages are there from the first time.
        table.Inject(ForwardingInitStep.AllocatePages);
        Assert.Equal(Errno.Ok, Enable(5));
    }

    [Fact]
    public void Interrupts_reach_the_guest_while_it_is_on()
    {
        Assert.Null(_s.Interrupts.Deliver(_s.Task, 0));
        Assert.Equal(Errno.Ok, Forward(Request));
        Assert.Equal((1UL, 1, 2), (_s.Interrupts.Used, _s.G.Gisa.Counts[4], _function.Forwarded.Pages));
        Assert.Equal(_s.G.Gisa.Designation, _s.Interrupts.Entry(0).Gisa);
        Assert.Same(_s.G, _s.Interrupts.Deliver(_s.Task, 0));
        Assert.Equal(0x80 >> 4, _s.G.Gisa.Pending);
        Assert.Equal(Errno.EINVAL, Forward(Request));
        Assert.Equal(Errno.Ok, Stop());
        AssertOff();
        Assert.Null(_s.Interrupts.Deliver(_s.Task, 0));
        Assert.Equal(Errno.Ok, Forward(Request with { Summary = 0 }, flags: ZpciOperation.ThroughHostFlag));
        Assert.Equal((0u, 1), (_s.Interrupts.Entry(0).Gisa, _function.Forwarded.Pages));
    }

    public static TheoryData<ForwardingRequest, Errno> Refused => new()
    {
        { Request with { Subclass = 8 }, Errno.ERANGE },
        { Request with { Vector = 0x3fff }, Errno.EINVAL },
        { Request with { Vector = PciSystem.Memory }, Errno.EIO },
        { Request with { Summary = 0x5004 }, Errno.EINVAL },
        { Request with { Summary = PciSystem.Memory }, Errno.EIO },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public void What_cannot_be_pinned_is_refused_and_leaves_nothing(ForwardingRequest request, Errno expected)
    {
        Assert.Equal(expected, Forward(request));
        AssertOff();
    }

    [Theory]
    [InlineData(ZpciStep.AllocateBit, Errno.ENOMEM)]
    [InlineData(ZpciStep.AllocateVector, Errno.ENOMEM)]
    [InlineData(ZpciStep.RegisterInterrupts, Errno.EIO)]
    public void A_failing_step_leaves_nothing(ZpciStep step, Errno expected)
    {
        _function.Firmware.Inject(step);
        Assert.Equal(expected, Forward(Request));
        AssertOff();
        Assert.Equal(Errno.Ok, Forward(Request));
    }

    [Fact]
    public void Pinned_pages_count_against_the_limit()
    {
        Assert.Equal(Errno.Ok, Forward(Request));
        Assert.Equal(2, _s.G.LockedPages);
        PciSystem small = new(_runtime, operation => _runtime.Drive(operation(), TimeSpan.FromSeconds(1)), new VirtualMachineOptions { LockedPagesMax = 1 });
        (VfioPciDevice driver, ZpciFunction function) = small.AddFunction("function", 0x12);
        small.Open(driver.Device);
        Errno error = default;
        small.Do(async () => error = await ZpciOperation.RunAsync(
            small.Task, small.G, function.Firmware.Handle, ZpciOperationCode.RegisterInterrupts, flags: 0, Request));
        Assert.Equal((Errno.ENOMEM, 0, 0), (error, small.G.LockedPages, small.G.Gisa.Counts.Sum()));
        small.Do(async () => error = await ZpciOperation.RunAsync(
            small.Task, small.G, function.Firmware.Handle, ZpciOperationCode.RegisterInterrupts, flags: 0, Request with { Summary = 0 }));
        Assert.Equal((Errno.Ok, 1), (error, small.G.LockedPages));
    }

    [Fact]
    public void Only_functions_of_the_vm_are_found_by_the_handle_that_they_have_now()
    {
        Assert.Equal(Errno.ENODEV, Forward(Request, handle: _function.Firmware.Handle + 1));
        Assert.Equal(Errno.ENODEV, Forward(Request, machine: _s.Other));
        uint handle = _function.Firmware.Handle;
        _s.Close(_file);
        Assert.Equal(Errno.ENODEV, Stop(handle));
        Assert.Equal(Errno.ENODEV, Forward(Request));
    }

    [Fact]
    public void Unknown_flags_and_operations_are_refused()
    {
        Assert.Equal(Errno.EINVAL, Forward(Request, flags: 2));
        Assert.Equal(Errno.EINVAL, Run((ZpciOperationCode)2, handle: null, machine: null, flags: 0, default));
        AssertOff();
    }

    [Fact]
    public void A_firmware_that_refuses_keeps_it_on_but_not_at_the_close()
    {
        Forward(Request);
        _function.Firmware.Inject(ZpciStep.DeregisterInterrupts);
        Assert.Equal(Errno.EIO, Stop());
        Assert.True(_function.Forwarded.IsOn);
        _function.Firmware.Inject(ZpciStep.DeregisterInterrupts);
        _s.Close(_file);
        AssertOff();
        Assert.Equal((1, 0u), (_s.G.References, _function.Gisa));
        Assert.Empty(_runtime.Checks!.Violations.ToArray().Select(v => v.ToString()));
    }
}

using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Vfio.Devices;
using Apvirt.VfioPci.Vgpu;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci.Tests;

/// <summary>What zPCI functions and vGPUs do with the VM that they are opened with (zpci.md, vfio.md §6, §11).</summary>
public sealed class ConsumerTests
{
    private readonly SimulationRuntime _runtime = new() { Checks = new KernelChecks() };
    private readonly PciSystem _s;

    public ConsumerTests() => _s = new PciSystem(_runtime, operation => _runtime.Drive(operation(), TimeSpan.FromSeconds(1)));

    private void AssertClean() => Assert.Empty(_runtime.Checks!.Violations.ToArray().Select(v => v.ToString()));

    [Fact]
    public void M070_the_firmware_has_the_designation_while_the_device_is_open()
    {
        (VfioPciDevice driver, ZpciFunction function) = _s.AddFunction("0000:00:00.0", 0x11);
        uint before = function.Firmware.Handle;
        (Errno error, VfioDeviceFile? file) = _s.Open(driver.Device);
        Assert.Equal(Errno.Ok, error);
        Assert.Equal((_s.G.Gisa.Designation, _s.G.Gisa.Designation), (function.Gisa, function.Firmware.Gisa));
        Assert.NotEqual(before, function.Firmware.Handle);
        // Its file, the device, the association.
        Assert.Equal(3, _s.G.References);
        _s.Close(file!);
        Assert.Equal((0u, 0u, 1), (function.Gisa, function.Firmware.Gisa, function.Firmware.Translations));
        Assert.True(function.Firmware.IsEnabled);
        Assert.Equal(1, _s.G.References);
        AssertClean();
    }

    [Fact]
    public void M073_M085_without_a_vm_it_opens_plain_and_without_zpci_not_at_all()
    {
        (VfioPciDevice plain, ZpciFunction function) = _s.AddFunction("plain", 0x11, withVm: false, hooks: ZpciHooks.Absent);
        (Errno error, VfioDeviceFile? file) = _s.Open(plain.Device);
        Assert.Equal((Errno.Ok, 0u), (error, function.Gisa));
        _s.Close(file!);
        VfioPciDevice none = new(_s.Task.Runtime, "none", function: null, new Apvirt.Kernel.Logging.KernelLog(), driver => _s.Register("none", driver), _s.Module);
        _s.Offer(none.Device);
        Assert.Equal(Errno.ENODEV, _s.Open(none.Device).Error);
        Assert.Equal(Errno.ENOENT, _s.Open(_s.AddFunction("hookless", 0x12, hooks: ZpciHooks.Absent).Driver.Device).Error);
        Assert.Equal(Errno.ESRCH, _s.Open(_s.AddVgpu("vgpu", new GvtAdapter(_s.Task.Runtime, "adapter", Profile.Strict), withVm: false).Device).Error);
        Assert.Equal(1, _s.G.References);
        AssertClean();
    }

    [Fact]
    public void M112_a_kernel_built_without_the_hooks_opens_without_an_association()
    {
        (VfioPciDevice driver, ZpciFunction function) = _s.AddFunction("function", 0x11, hooks: ZpciHooks.NotBuilt);
        uint handle = function.Firmware.Handle;
        (Errno error, VfioDeviceFile? file) = _s.Open(driver.Device);
        Assert.Equal(Errno.Ok, error);
        Assert.Equal((null, 0u, 0u, handle), (function.Machine, function.Gisa, function.Firmware.Gisa, function.Firmware.Handle));
        // Its file and the device, and no association.
        Assert.Equal((_s.G, 2, 0), (driver.Device.Kvm, _s.G.References, _s.G.Functions.Count));
        Assert.Null(driver.ReadCapabilities(_s.Task));
        _s.Close(file!);
        Assert.Equal((1, handle, true), (_s.G.References, function.Firmware.Handle, function.Firmware.IsEnabled));
        AssertClean();
    }

    [Fact]
    public void A_machine_that_cannot_interpret_associates_without_a_designation()
    {
        (VfioPciDevice driver, ZpciFunction function) = _s.AddFunction("old", 0x11, canInterpret: false);
        uint before = function.Firmware.Handle;
        VfioDeviceFile file = _s.Open(driver.Device).File!;
        Assert.Same(_s.G, function.Machine);
        Assert.Equal((0u, before), (function.Gisa, function.Firmware.Handle));
        _s.Close(file);
        Assert.Null(function.Machine);
        Assert.Equal(1, _s.G.References);
    }

    // zpci.md §9: where it fails, with what, and whether the host has the function enabled afterwards (F14).
    [Theory]
    [InlineData(ZpciStep.Allocate, Errno.ENOMEM, true, true)]
    [InlineData(ZpciStep.Disable, Errno.EIO, true, true)]
    [InlineData(ZpciStep.Enable, Errno.EIO, false, true)]
    [InlineData(ZpciStep.RegisterTranslation, Errno.EIO, false, true)]
    [InlineData(ZpciStep.Configure, Errno.EIO, true, true)]
    public void M072_F14_a_failing_step_of_the_open_is_told_and_unwound(ZpciStep step, Errno expected, bool isEnabledAfterIn612, bool isEnabledAfter)
    {
        Fails(Profile.Linux612, isEnabledAfterIn612);
        Fails(Profile.Strict, isEnabledAfter);

        void Fails(Profile profile, bool isEnabled)
        {
            (VfioPciDevice driver, ZpciFunction function) = _s.AddFunction($"function under {profile.Name}", 0x11, profile: profile);
            FailsToOpen(driver, function, step, expected, isEnabled);
        }
    }

    private void FailsToOpen(VfioPciDevice driver, ZpciFunction function, ZpciStep step, Errno expected, bool isEnabledAfter)
    {
        function.Firmware.Inject(step);
        Assert.Equal(expected, _s.Open(driver.Device).Error);
        Assert.Null(function.Machine);
        Assert.Equal((0u, 0u, isEnabledAfter), (function.Gisa, function.Firmware.Gisa, function.Firmware.IsEnabled));
        Assert.Equal(isEnabledAfter ? 1 : 0, function.Firmware.Translations);
        Assert.Equal((1, 0), (_s.G.References, driver.Device.OpenCount));
        AssertClean();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void M075_F14_the_close_cannot_fail(bool isStrict)
    {
        (VfioPciDevice driver, ZpciFunction function) = _s.AddFunction("function", 0x11, profile: isStrict ? Profile.Strict : Profile.Linux612);
        VfioDeviceFile file = _s.Open(driver.Device).File!;
        function.Firmware.Inject(ZpciStep.Disable);
        _s.Close(file);
        Assert.Null(function.Machine);
        Assert.Equal((0u, 1), (function.Gisa, _s.G.References));
        Assert.Equal(isStrict ? 0 : _s.G.Gisa.Designation, function.Firmware.Gisa);
        AssertClean();
    }

    [Fact]
    public void M103_interpretation_ends_after_interrupts_and_before_the_function_goes_back()
    {
        List<string> steps = [];
        (VfioPciDevice driver, _) = _s.AddFunction("function", 0x11, stepped: steps.Add);
        _s.Close(_s.Open(driver.Device).File!);
        Assert.Equal(
            ["reset function", "associate", "initialise configuration", "drop token", "tear down interrupts", "dissociate", "restore state and reset"],
            steps);
    }

    [Fact]
    public void M095_M096_translations_are_registered_once_however_often_it_is_attached()
    {
        ZpciFunction function = _s.AddFunction("function", 0x11).Function;
        object one = new();
        object other = new();
        foreach (object domain in (object[])[one, other, one])
        {
            _s.Do(async () => Assert.Equal(Errno.Ok, await function.AttachAsync(_s.Task, domain)));
            Assert.Equal(1, function.Firmware.Translations);
            Assert.Same(domain, function.Domain);
        }
        function.Firmware.Inject(ZpciStep.RegisterTranslation);
        _s.Do(async () => Assert.Equal(Errno.EIO, await function.AttachAsync(_s.Task, other)));
        Assert.Equal(0, function.Firmware.Translations);
        Assert.Null(function.Domain);
        _s.Do(() => function.BlockAsync(_s.Task));
        Assert.Equal(0, function.Firmware.Translations);
    }

    [Fact]
    public void Two_functions_have_one_vm_and_one_function_not_two()
    {
        (VfioPciDevice one, ZpciFunction function) = _s.AddFunction("one", 0x11);
        (VfioPciDevice other, _) = _s.AddFunction("other", 0x12);
        VfioDeviceFile first = _s.Open(one.Device).File!;
        VfioDeviceFile second = _s.Open(other.Device).File!;
        Assert.Equal(5, _s.G.References);
        _s.Do(async () => Assert.Equal(Errno.EINVAL, await function.RegisterAsync(_s.Task, _s.G)));
        Assert.Equal(5, _s.G.References);
        _s.Close(second);
        _s.Close(first);
        Assert.Equal(1, _s.G.References);
    }

    [Fact]
    public void A_vgpu_interrupts_its_guest_while_a_VM_has_it_and_by_an_eventfd_if_there_is_one()
    {
        GvtDevice vgpu = _s.AddVgpu("first", new GvtAdapter(_s.Task.Runtime, "adapter", Profile.Strict));
        Eventfd eventfd = new(_s.Task.Runtime, "trigger");
        Errno Set(Eventfd? trigger) => Get(() => vgpu.SetTriggerAsync(_s.Task, trigger));
        Errno Interrupt() => Get(() => vgpu.InterruptAsync(_s.Task));
        Assert.Equal((Errno.EINVAL, Errno.ESRCH), (Set(eventfd), Interrupt()));
        VfioDeviceFile file = _s.Open(vgpu.Device).File!;
        Assert.Equal(Errno.Ok, Interrupt());
        Assert.Equal((Errno.Ok, Errno.Ok, 1L), (Set(eventfd), Interrupt(), eventfd.Count));
        Assert.Equal((Errno.Ok, Errno.Ok, 1L), (Set(null), Interrupt(), eventfd.Count));
        Set(eventfd);
        _s.Close(file);
        Assert.Equal(Errno.ESRCH, Interrupt());
        // The next user has none of the last.
        file = _s.Open(vgpu.Device).File!;
        Assert.Equal((Errno.Ok, 1L), (Interrupt(), eventfd.Count));
        _s.Close(file);
        AssertClean();

        Errno Get(Func<ValueTask<Errno>> operation)
        {
            Errno error = Errno.Ok;
            _s.Do(async () => error = await operation());
            return error;
        }
    }

    [Fact]
    public void M088_M089_a_vgpu_needs_its_openers_vm_and_is_the_only_one_of_it()
    {
        GvtAdapter adapter = new(_s.Task.Runtime, "adapter", Profile.Strict);
        GvtDevice first = _s.AddVgpu("first", adapter);
        GvtDevice second = _s.AddVgpu("second", adapter);
        _s.Task.AddressSpace = "of another process";
        Assert.Equal(Errno.ESRCH, _s.Open(first.Device).Error);
        Assert.Equal(1, _s.G.References);
        _s.G.AddressSpace = "of another process";
        VfioDeviceFile file = _s.Open(first.Device).File!;
        Assert.Equal(3, _s.G.References);
        Assert.Equal(Errno.EEXIST, _s.Open(second.Device).Error);
        Assert.Equal((3, 1), (_s.G.References, adapter.Attached.Count));
        // M114: that the VM has one already is asked first, whoever opens.
        _s.Task.AddressSpace = "of a third process";
        Assert.Equal(Errno.EEXIST, _s.Open(second.Device).Error);
        _s.Task.AddressSpace = _s.G.AddressSpace;
        Assert.Equal((3, 1, 0), (_s.G.References, adapter.Attached.Count, second.CachedPages));
        Assert.Null(second.Tracked);
        _s.Close(file);
        _s.Close(_s.Open(second.Device).File!);
        Assert.Equal((1, 0), (_s.G.References, adapter.Attached.Count));
        AssertClean();
    }

    [Fact]
    public void M091_pages_are_tracked_on_the_vm_of_the_open_whatever_the_group_has_meanwhile()
    {
        GvtDevice vgpu = _s.AddVgpu("vgpu", new GvtAdapter(_s.Task.Runtime, "adapter", Profile.Strict));
        VfioDeviceFile file = _s.Open(vgpu.Device).File!;
        _s.Do(async () =>
        {
            Assert.Equal(Errno.Ok, await vgpu.MapPagesAsync(_s.Task, 0x3000));
            Assert.Equal(Errno.Ok, await vgpu.MapPagesAsync(_s.Task, 0x5000));
            await _s.KvmDevice.DeleteAsync(_s.Task, vgpu.Device.Group);
            await _s.Container.UnmapAsync(_s.Task, 0, PciSystem.Memory);
        });
        Assert.Equal((0, 0), (vgpu.CachedPages, vgpu.Device.Pins.Count));
        Assert.Same(_s.G, vgpu.Tracked);
        _s.Close(file);
        Assert.Equal(1, _s.G.References);
        AssertClean();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void M100_the_file_of_a_group_is_closed_once_and_opens_no_device_afterwards(bool usesIommufd)
    {
        PciHost host = new PciHost().CreateMdev();
        string group = $"\"guest\":\"g\",\"device\":\"{PciHost.Mdev}\"";
        Assert.Contains("ok", host.Run($"{{\"op\":\"guest.start\",{group},\"iommufd\":{(usesIommufd ? "true" : "false")}}}"), StringComparison.Ordinal);

        Assert.Contains("ok", host.Run($"{{\"op\":\"group.close\",{group}}}"), StringComparison.Ordinal);

        Assert.Contains("EBADF", host.Run($"{{\"op\":\"group.close\",{group}}}"), StringComparison.Ordinal);
        Assert.Contains("EBADF", host.Run($"{{\"op\":\"device.open\",{group},\"file\":\"f\"}}"), StringComparison.Ordinal);
        // The open device keeps the file, so nobody else has the group.
        Assert.Equal(Errno.EBUSY, host.Start("h", PciHost.Mdev));
        Assert.Equal(Errno.Ok, host.Stop("g"));
        Assert.Equal(Errno.Ok, host.Start("h", PciHost.Mdev));
        host.AssertClean();
    }
}

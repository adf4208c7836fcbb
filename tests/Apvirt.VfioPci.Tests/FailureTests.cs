using Apvirt.Kernel;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Kvm;
using Apvirt.Vfio.Memory;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci.Tests;

/// <summary>
/// M098 in full: each step of each way to open each kind of device fails once, and each step of closing that can; everything
/// is unwound, all counters are where they were, and the next open succeeds (vfio.md §4, §5, zpci.md §9).
/// </summary>
public sealed class FailureTests
{
    private static readonly string[] Devices = [PciHost.Mdev, PciHost.Roce, PciHost.Vgpu];

    private static readonly (Way Way, VfioOpenStep Step)[] CoreSteps =
    [
        (Way.Container, VfioOpenStep.UseIommu), (Way.Container, VfioOpenStep.AddListener), (Way.Container, VfioOpenStep.OpenDevice),
        (Way.Iommufd, VfioOpenStep.UseIommu), (Way.Iommufd, VfioOpenStep.OpenDevice), (Way.Iommufd, VfioOpenStep.AttachSpace),
        (Way.Direct, VfioOpenStep.UseIommu), (Way.Direct, VfioOpenStep.OpenDevice), (Way.Direct, VfioOpenStep.TellUser),
    ];

    // What zpci.md §9 says of each; config init fails after the function was associated.
    private static readonly (ZpciStep Step, Errno Error)[] FunctionSteps =
    [
        (ZpciStep.Allocate, Errno.ENOMEM), (ZpciStep.Disable, Errno.EIO), (ZpciStep.Enable, Errno.EIO), (ZpciStep.Configure, Errno.EIO),
    ];

    private readonly PciHost _h = new PciHost().CreateMdev().CreateVgpu();
    private readonly VirtualMachine _g;
    private readonly KvmVfioDevice _kvm;

    public FailureTests()
    {
        _g = new VirtualMachine(_h.Runtime, "g", hostHasApxa: true, new VirtualMachineOptions { MemoryBytes = 1 << 20 });
        _kvm = Do(KvmVfioDevice.CreateAsync(_h.Task, _g)).Device!;
    }

    /// <summary>How user space comes to a device.</summary>
    public enum Way
    {
        /// <summary>Group and container.</summary>
        Container,
        /// <summary>Group and iommufd.</summary>
        Iommufd,
        /// <summary>The device's own file.</summary>
        Direct,
    }

    public static TheoryData<string, Way, VfioOpenStep> EveryCoreStep
    {
        get
        {
            TheoryData<string, Way, VfioOpenStep> data = [];
            foreach (string device in Devices)
            {
                // vfio-pci does not want to be told of unmaps, so it is put on no list (vfio.md §4).
                foreach ((Way way, VfioOpenStep step) in CoreSteps.Where(s => device != PciHost.Roce || s.Step != VfioOpenStep.AddListener))
                    data.Add(device, way, step);
            }
            return data;
        }
    }

    public static TheoryData<Way, ZpciStep, Errno> EveryFunctionStep
    {
        get
        {
            TheoryData<Way, ZpciStep, Errno> data = [];
            foreach (Way way in Enum.GetValues<Way>())
            {
                foreach ((ZpciStep step, Errno error) in FunctionSteps)
                    data.Add(way, step, error);
            }
            return data;
        }
    }

    private T Do<T>(ValueTask<T> operation) => _h.Runtime.Drive(operation);

    private void Do(ValueTask operation) => Assert.True(_h.Runtime.Drive(operation, TimeSpan.FromSeconds(10)));

    private VfioDevice Device(string name) => _h.Host.Guests.FindDevice(name)!;

    // Everything that an open could leave behind.
    private string Counters()
    {
        ZpciFunction function = _h.Function().Function;
        IEnumerable<string> devices = _h.Host.VfioDevices.Select(d =>
            $"{d.DeviceName}: {d.OpenCount} {d.DriverOpens} {d.Kvm} {d.DriverMachine} {d.Pins.Count} module {d.Driver.Module.Users(_h.Runtime)} group {d.Group.IsOpen} {d.Group.ContainerUsers} {d.Group.DirectOpens} {d.Group.Kvm} {d.Group.Dma?.Claims}");
        return string.Join('\n', devices)
            + $"\nfunction {function.Machine} {function.Gisa} {function.Firmware.Gisa} {function.Firmware.IsEnabled} {function.Firmware.Translations} {function.Forwarded} {_h.Host.Pci.Interrupts.Used}"
            + $"\nmdev {_h.Host.VfioAp.Matrix.Mdevs.Single().Kvm} vgpu {_h.Host.Pci.Vgpus.Single().Vgpu!.Tracked} {_h.Host.Pci.Vgpus.Single().Vgpu!.CachedPages}"
            + $"\nvm {_g.References} {_g.Functions.Count} {_g.LockedPages} {_g.PqapHook} {_g.Apcb} {string.Join(' ', _g.Gisa.Counts)} {_g.Gisa.AlertMask}";
    }

    // Opens in one of the ways; what was prepared for a failing open is taken back as user space would.
    private (Errno Error, Func<ValueTask>? Close) Open(VfioDevice device, Way way)
    {
        if (way == Way.Direct)
            return OpenDirectly(device);
        VfioGroup group = device.Group;
        Assert.Equal(Errno.Ok, Do(group.OpenAsync(_h.Task)));
        IommuFd iommufd = new(_h.Runtime, "process");
        VfioContainer container = new(_h.Runtime, "process", _h.Host.Profile);
        Errno error = Do(group.SetContainerAsync(_h.Task, way == Way.Container ? container : iommufd));
        if (error == Errno.Ok && way == Way.Container)
            error = Do(container.SetIommuAsync(_h.Task, 2));
        VfioDeviceFile? file = null;
        if (error == Errno.Ok)
        {
            Assert.Equal(Errno.Ok, Do(_kvm.AddAsync(_h.Task, group)));
            (error, file) = Do(group.GetDeviceAsync(_h.Task, device.Name));
            if (error != Errno.Ok)
            {
                // The container itself is its only user.
                Assert.Equal(way == Way.Container ? 1 : 0, group.ContainerUsers);
                Do(_kvm.DeleteAsync(_h.Task, group));
            }
        }
        if (error != Errno.Ok)
            Do(group.CloseAsync(_h.Task));
        return (error, file is null ? null : async () =>
        {
            await file.CloseAsync(_h.Task);
            Assert.Equal(way == Way.Container ? 1 : 0, group.ContainerUsers);
            await _kvm.DeleteAsync(_h.Task, group);
            await group.CloseAsync(_h.Task);
        });
    }

    private (Errno Error, Func<ValueTask>? Close) OpenDirectly(VfioDevice device)
    {
        VfioDeviceFile file = device.OpenDirectly(_h.Task).File!;
        Assert.Equal(Errno.Ok, Do(_kvm.AddAsync(_h.Task, file)));
        Errno error = Do(file.BindAsync(_h.Task, new IommuFd(_h.Runtime, "process")));
        Func<ValueTask> close = async () =>
        {
            await _kvm.DeleteAsync(_h.Task, file);
            await file.CloseAsync(_h.Task);
        };
        if (error == Errno.Ok)
            return (error, close);
        Do(close());
        return (error, null);
    }

    private void FailsOnce(VfioDevice device, Way way, Errno expected)
    {
        string before = Counters();
        Assert.Equal(expected, Open(device, way).Error);
        // A function that was enabled anew has another handle, and is as it was otherwise.
        Assert.Equal(before, Counters());
        (Errno error, Func<ValueTask>? close) = Open(device, way);
        Assert.Equal(Errno.Ok, error);
        Assert.NotEqual(before, Counters());
        Do(close!());
        Assert.Equal(before, Counters());
        _h.AssertClean();
    }

    [Theory]
    [MemberData(nameof(EveryCoreStep))]
    public void M098_each_step_of_the_core_fails_once(string device, Way way, VfioOpenStep step)
    {
        Device(device).Inject(step, Errno.ENOMEM);
        FailsOnce(Device(device), way, Errno.ENOMEM);
    }

    public static TheoryData<string, Way> EveryOpen
    {
        get
        {
            TheoryData<string, Way> data = [];
            foreach (string device in Devices)
            {
                foreach (Way way in Enum.GetValues<Way>())
                    data.Add(device, way);
            }
            return data;
        }
    }

    // The module is held first, so that there is nothing to unwind but what came before.
    [Theory]
    [MemberData(nameof(EveryOpen))]
    public void M113_an_open_whose_driver_module_is_going_answers_ENODEV_and_takes_nothing(string device, Way way)
    {
        (Errno error, Func<ValueTask>? close) = Open(Device(device), way);
        Assert.Equal(Errno.Ok, error);
        Assert.False(Device(device).Driver.Module.TryGo(_h.Task));
        Do(close!());
        Assert.True(Device(device).Driver.Module.TryGo(_h.Task));
        string before = Counters();
        Assert.Equal(Errno.ENODEV, Open(Device(device), way).Error);
        Assert.Equal(before, Counters());
        _h.AssertClean();
    }

    [Theory]
    [MemberData(nameof(EveryFunctionStep))]
    public void M098_each_step_of_a_function_fails_once(Way way, ZpciStep step, Errno expected)
    {
        _h.Function().Function.Firmware.Inject(step);
        FailsOnce(Device(PciHost.Roce), way, expected);
    }

    // The translations of the container, or those after enabling for the VM.
    [Theory]
    [InlineData(Way.Container)]
    [InlineData(Way.Iommufd)]
    [InlineData(Way.Direct)]
    public void M096_M098_translations_that_cannot_be_registered_fail_the_open(Way way)
    {
        string before = Counters();
        _h.Function().Function.Firmware.Inject(ZpciStep.RegisterTranslation);
        (Errno error, Func<ValueTask>? close) = Open(Device(PciHost.Roce), way);
        // A device's own file is not attached by the bind, so that nothing is registered until it is given back.
        Assert.Equal(way == Way.Direct ? Errno.Ok : Errno.EIO, error);
        if (close is not null)
            Do(close());
        if (way == Way.Direct)
            Assert.Equal(0, _h.Function().Function.Firmware.Translations);
        else
            Assert.Equal(before, Counters());
        _h.AssertClean();
    }

    [Fact]
    public void M099_a_vm_that_was_set_is_taken_back_when_the_listener_cannot_be_added()
    {
        Device(PciHost.Mdev).Inject(VfioOpenStep.AddListener, Errno.ENOMEM);
        Assert.Equal(Errno.ENOMEM, Open(Device(PciHost.Mdev), Way.Container).Error);
        Assert.Null(_h.Host.VfioAp.Matrix.Mdevs.Single().Kvm);
        Assert.Null(_g.PqapHook);
        Assert.Equal(default, _g.Apcb);
        _h.AssertClean();
    }

    [Theory]
    [InlineData(ZpciStep.Disable)]
    [InlineData(ZpciStep.Enable)]
    [InlineData(ZpciStep.RegisterTranslation)]
    [InlineData(ZpciStep.DeregisterInterrupts)]
    public void M075_each_step_of_the_close_of_a_function_fails_once_and_the_close_does_not(ZpciStep step)
    {
        string before = Counters();
        foreach (Way way in Enum.GetValues<Way>())
        {
            (Errno error, Func<ValueTask>? close) = Open(Device(PciHost.Roce), way);
            Assert.Equal(Errno.Ok, error);
            ForwardingRequest request = new(Vector: 0x3000, Subclass: 4, Interrupts: 16, Summary: 0x5008);
            Assert.Equal(Errno.Ok, Do(ZpciOperation.RunAsync(_h.Task, _g, _h.Function().Function.Firmware.Handle, ZpciOperationCode.RegisterInterrupts, 0, request)));
            _h.Function().Function.Firmware.Inject(step);
            Do(close!());
            // Translations that fail with nothing attached are those of the host, when the function is given back.
            if (!(step == ZpciStep.RegisterTranslation && way == Way.Direct))
                Assert.Equal(before, Counters());
            Do(_h.Function().Function.ReturnAsync(_h.Task));
        }
        _h.AssertClean();
    }
}

using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Kvm;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio.Tests;

/// <summary>Open and close through the group, the captured VM, pins and unregistration (vfio.md §2, §4, §6, §7).</summary>
public sealed class VfioDeviceTests
{
    private readonly VfioSystem _s = new();
    private readonly VfioDevice _device;
    private readonly RecordingDriver _driver;
    private readonly VirtualMachine _g;
    private readonly KvmVfioDevice _kvm;

    public VfioDeviceTests()
    {
        (_device, _driver) = _s.Add("device");
        _g = _s.Vm();
        _kvm = _s.KvmDevice(_g);
    }

    [Fact]
    public void M080_M081_M102_the_vm_is_captured_at_the_first_open_and_kept_until_the_last_close()
    {
        VirtualMachine other = _s.Vm("h");
        KvmVfioDevice otherKvm = _s.KvmDevice(other);
        _s.Contain(_device.Group);
        _s.Do(_kvm.AddAsync(_s.Task, _device.Group));
        VfioDeviceFile first = _s.Open(_device);
        _s.Do(_kvm.DeleteAsync(_s.Task, _device.Group));
        _s.Do(otherKvm.AddAsync(_s.Task, _device.Group));
        VfioDeviceFile second = _s.Open(_device);
        Assert.Same(_g, _device.Kvm);
        Assert.Equal((2, 1), (_g.References, other.References));
        _s.Close(second);
        Assert.Same(_g, _device.Kvm);
        _s.Close(first);
        Assert.Null(_device.Kvm);
        Assert.Equal(1, _g.References);
        Assert.Equal(["open", "close"], _driver.Calls);
        _s.Close(_s.Open(_device));
        Assert.Equal((1, 1), (_g.References, other.References));
    }

    [Fact]
    public void Devices_of_one_set_open_and_close_one_at_a_time()
    {
        VfioDeviceSet set = new(_s.Runtime, "both");
        VfioDevice[] devices = [.. ((string[])["one", "other"]).Select(name =>
        {
            VfioDevice device = new(name, new RecordingDriver(), _s.Groups.Create(_s.DeviceOf(name)), new Apvirt.Kernel.Logging.KernelLog(), set: set);
            _s.Do(device.OfferAsync(_s.Task));
            return device;
        })];
        Assert.Equal(devices, set.Devices);
        _s.Contain(devices[0].Group);
        _s.Contain(devices[1].Group);
        VfioDeviceFile file = _s.Open(devices[0]);
        Assert.Equal((1, 1, 0), (set.OpenCount, devices[0].OpenCount, devices[1].OpenCount));
        // Whoever opens or closes one has the lock of all.
        Apvirt.Kernel.Tasks.KernelTask holder = _s.Runtime.CreateTask("holder");
        _s.Do(set.Lock.LockAsync(holder));
        ValueTask<(Errno Error, VfioDeviceFile? File)> opening = devices[1].Group.GetDeviceAsync(_s.Runtime.CreateTask("opener"), "other");
        _s.Runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.False(opening.IsCompleted);
        set.Lock.Unlock(holder);
        Assert.Equal(Errno.Ok, _s.Do(opening).Error);
        Assert.Equal(2, set.OpenCount);
        _s.Do(file.CloseAsync(_s.Task));
        Assert.Equal(1, set.OpenCount);
    }

    [Fact]
    public void M082_M086_the_device_keeps_the_vm_that_the_group_does_not()
    {
        _s.Contain(_device.Group);
        _s.Do(_kvm.AddAsync(_s.Task, _device.Group));
        Assert.Equal(1, _g.References);
        VfioDeviceFile file = _s.Open(_device);
        _s.Do(_kvm.CloseAsync(_s.Task));
        Assert.Null(_device.Group.Kvm);
        _g.Put(_s.Task);
        Assert.Equal(1, _g.References);
        _s.Close(file);
        Assert.Equal(0, _g.References);
    }

    [Fact]
    public void M082_a_dying_vm_is_not_captured()
    {
        _s.Contain(_device.Group);
        _device.Group.SetKvm(_s.Task, _g);
        _g.Put(_s.Task);
        _s.Open(_device);
        Assert.Null(_device.Kvm);
    }

    [Fact]
    public void M085_M087_M092_without_a_vm_a_device_opens_if_its_driver_can_and_one_set_later_waits_for_the_next_open()
    {
        _s.Contain(_device.Group);
        VfioDeviceFile file = _s.Open(_device);
        _s.Do(_kvm.AddAsync(_s.Task, _device.Group));
        Assert.Null(_device.Kvm);
        _s.Close(file);
        _s.Open(_device);
        Assert.Same(_g, _device.Kvm);
    }

    [Fact]
    public void M084_M098_a_failing_open_is_unwound_and_its_error_told()
    {
        _s.Contain(_device.Group);
        _s.Do(_kvm.AddAsync(_s.Task, _device.Group));
        foreach (Errno error in (Errno[])[Errno.EINVAL, Errno.EPERM, Errno.ESRCH])
        {
            _driver.Answer = error;
            Assert.Equal(error, _s.TryOpen(_device));
            Assert.Equal((0, 1, 1), (_device.OpenCount, _g.References, _device.Group.ContainerUsers));
            Assert.Null(_device.Kvm);
        }
        Assert.Equal(Errno.Ok, _s.Do(_device.Group.UnsetContainerAsync(_s.Task)));
        Assert.True(_s.Runtime.Drive(_device.UnregisterAsync(_s.Task), TimeSpan.Zero));
    }

    [Fact]
    public void Unregistering_waits_for_the_last_close_and_asks_every_ten_seconds()
    {
        _s.Contain(_device.Group);
        VfioDeviceFile file = _s.Open(_device);
        bool done = false;
        SpawnedTask remover = _s.Runtime.Spawn("remover", async task =>
        {
            await _device.UnregisterAsync(task);
            done = true;
        });
        _s.Runtime.Advance(TimeSpan.FromSeconds(25));
        Assert.Equal(["open", "request 0", "request 1", "request 2"], _driver.Calls);
        Assert.Equal(Errno.ENODEV, _s.TryOpen(_device));
        Assert.Equal(Errno.ENODEV, _device.OpenDirectly(_s.Task).Error);
        Assert.Equal(Errno.Ok, file.Use());
        remover.Task.Interrupt();
        _s.Runtime.Advance(TimeSpan.Zero);
        Assert.False(done);
        _s.Close(file);
        _s.Runtime.Advance(TimeSpan.Zero);
        Assert.True(done);
    }

    [Fact]
    public void Pins_count_with_multiplicity_need_memory_and_end_with_the_last_close()
    {
        VfioContainer container = _s.Contain(_device.Group);
        Assert.Equal(Errno.EINVAL, _s.Do(_device.Pins.PinAsync(_s.Task, 0x1000)));
        VfioDeviceFile file = _s.Open(_device);
        _s.Do(_device.TellUnmapAsync(_s.Task, 0, 0x1000));
        Assert.Equal(Errno.Ok, _s.Do(_device.Pins.PinAsync(_s.Task, 0x1000)));
        Assert.Equal(Errno.Ok, _s.Do(_device.Pins.PinAsync(_s.Task, 0x1fff)));
        Assert.Equal(Errno.EINVAL, _s.Do(_device.Pins.PinAsync(_s.Task, VfioSystem.Memory)));
        Assert.Equal(Errno.Ok, _s.Do(container.MapAsync(_s.Task, VfioSystem.Memory, 0x1000, MapProtection.Read)));
        Assert.Equal(Errno.EPERM, _s.Do(_device.Pins.PinAsync(_s.Task, VfioSystem.Memory)));
        Assert.Equal(2, _device.Pins.Count);
        _s.Do(_device.Pins.UnpinAsync(_s.Task, 0x1234));
        Assert.Equal(1, _device.Pins.Count);
        _s.Do(_device.Pins.UnpinAsync(_s.Task, 0x1234));
        _s.Close(file);
        Assert.Equal(0, _device.Pins.Count);
        Assert.Equal(["open", "close"], _driver.Calls);
        Assert.Empty(_s.Runtime.Checks!.Violations.ToArray());
    }

    [Fact]
    public void M100_an_open_device_keeps_the_file_of_its_group()
    {
        _s.Contain(_device.Group);
        VfioDeviceFile file = _s.Open(_device);
        _s.Do(_device.Group.CloseAsync(_s.Task));
        Assert.True(_device.Group.IsOpen);
        Assert.Equal(Errno.EBUSY, _s.Do(_device.Group.OpenAsync(_s.Task)));
        Assert.NotNull(_device.Group.Container);
        _s.Close(file);
        Assert.False(_device.Group.IsOpen);
        Assert.Null(_device.Group.Container);
        Assert.Equal(Errno.Ok, _s.Do(_device.Group.OpenAsync(_s.Task)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void F18_with_an_iommufd_linux_612_lets_the_group_close_first(bool mayCloseFirst)
    {
        VfioSystem s = new(mayCloseFirst ? Profile.Linux612 : Profile.Strict);
        VfioDevice device = s.Add("device").Device;
        s.Do(device.Group.OpenAsync(s.Task));
        Assert.Equal(Errno.Ok, s.Do(device.Group.SetContainerAsync(s.Task, new IommuFd(_s.Runtime, "process"))));
        VfioDeviceFile file = s.Open(device);
        s.Do(device.Group.CloseAsync(s.Task));
        Assert.Equal(!mayCloseFirst, device.Group.IsOpen);
        s.Close(file);
        Assert.False(device.Group.IsOpen);
    }
}

using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Kvm;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio.Tests;

/// <summary>A device's own file and iommufd (vfio.md §5, §7, §8).</summary>
public sealed class DirectFileTests
{
    private readonly VfioSystem _s = new();
    private readonly VfioDevice _device;
    private readonly RecordingDriver _driver;
    private readonly IommuFd _iommufd;

    public DirectFileTests()
    {
        (_device, _driver) = _s.Add("device");
        _iommufd = new IommuFd(_s.Runtime, "process");
    }

    private VfioDeviceFile Open() => _device.OpenDirectly(_s.Task).File!;

    [Fact]
    public void User_space_that_cannot_be_told_its_address_space_is_detached()
    {
        VfioDeviceFile file = _device.OpenDirectly(_s.Task).File!;
        IommuFd iommufd = new(_s.Runtime, "process");
        _s.Do(iommufd.Compatible.MapAsync(_s.Task, 0, 0x1000, MapProtection.Read | MapProtection.Write));
        Assert.Equal(Errno.Ok, _s.Do(file.BindAsync(_s.Task, iommufd)));
        _device.Inject(VfioOpenStep.TellSpace, Errno.EFAULT);
        Assert.Equal(Errno.EFAULT, _s.Do(file.AttachAsync(_s.Task, iommufd.Compatible)));
        Assert.Equal(Errno.ENOENT, _s.Do(_device.Pins.PinAsync(_s.Task, 0)));
        Assert.Equal(Errno.Ok, _s.Do(file.AttachAsync(_s.Task, iommufd.Compatible)));
        Assert.Equal(Errno.Ok, _s.Do(_device.Pins.PinAsync(_s.Task, 0)));
        _s.Do(_device.Pins.UnpinAsync(_s.Task, 0));
        _s.Close(file);
        Assert.Empty(_s.Runtime.Checks!.Violations.ToArray());
    }

    [Fact]
    public void M094_until_it_is_bound_the_file_is_of_no_use()
    {
        VfioDeviceFile file = Open();
        Assert.Equal(Errno.EINVAL, file.Use());
        Assert.Equal(Errno.EINVAL, _s.Do(file.AttachAsync(_s.Task, _iommufd.Compatible)));
        Assert.Equal(Errno.EINVAL, _s.Do(file.DetachAsync(_s.Task)));
        Assert.Equal(Errno.EINVAL, _s.Do(file.BindAsync(_s.Task, _iommufd, flags: 1)));
        Assert.Equal(Errno.EBADF, _s.Do(file.BindAsync(_s.Task, null)));
        Assert.Empty(_driver.Calls);
        Assert.Equal(0, _device.Group.DirectOpens);
        Assert.Equal(Errno.Ok, _s.Do(file.BindAsync(_s.Task, _iommufd)));
        Assert.Equal(Errno.Ok, file.Use());
        Assert.Equal(Errno.EINVAL, _s.Do(file.BindAsync(_s.Task, _iommufd)));
        Assert.Equal((1, 1), (_device.OpenCount, _device.Group.DirectOpens));
        _s.Close(file);
        Assert.Equal((0, 0), (_device.OpenCount, _device.Group.DirectOpens));
        Assert.Equal(["open", "close"], _driver.Calls);
    }

    [Fact]
    public void M093_the_vm_is_captured_if_it_was_set_before_the_bind()
    {
        VirtualMachine g = _s.Vm();
        KvmVfioDevice kvm = _s.KvmDevice(g);
        VfioDeviceFile file = Open();
        _s.Do(kvm.AddAsync(_s.Task, file));
        Assert.Equal(Errno.Ok, _s.Do(file.BindAsync(_s.Task, _iommufd)));
        Assert.Same(g, _device.Kvm);
        _s.Close(file);
        Assert.Equal(1, g.References);
        file = Open();
        Assert.Equal(Errno.Ok, _s.Do(file.BindAsync(_s.Task, _iommufd)));
        _s.Do(kvm.AddAsync(_s.Task, file));
        Assert.Null(_device.Kvm);
    }

    [Fact]
    public void Group_and_direct_use_exclude_each_other()
    {
        VfioDeviceFile file = Open();
        _s.Do(_device.Group.OpenAsync(_s.Task));
        Assert.Equal(Errno.EBUSY, _s.Do(file.BindAsync(_s.Task, _iommufd)));
        _s.Do(_device.Group.CloseAsync(_s.Task));
        Assert.Equal(Errno.Ok, _s.Do(file.BindAsync(_s.Task, _iommufd)));
        Assert.Equal(Errno.EBUSY, _s.Do(_device.Group.OpenAsync(_s.Task)));
        _s.Close(file);
        _s.Contain(_device.Group);
        Assert.Equal(Errno.EINVAL, _s.Do(_s.Open(_device).BindAsync(_s.Task, _iommufd)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void F07_I17_a_second_bind_fails_and_in_linux_612_takes_the_vm_away(bool capturesFirst)
    {
        VfioSystem s = new(capturesFirst ? Profile.Linux612 : Profile.Strict);
        VfioDevice device = s.Add("device").Device;
        VirtualMachine g = s.Vm();
        KvmVfioDevice kvm = s.KvmDevice(g);
        IommuFd iommufd = new(_s.Runtime, "process");
        VfioDeviceFile first = device.OpenDirectly(s.Task).File!;
        VfioDeviceFile second = device.OpenDirectly(s.Task).File!;
        s.Do(kvm.AddAsync(s.Task, first));
        Assert.Equal(Errno.Ok, s.Do(first.BindAsync(s.Task, iommufd)));
        Assert.Equal(Errno.EINVAL, s.Do(second.BindAsync(s.Task, iommufd)));
        Assert.Equal(!capturesFirst, device.Kvm == g);
        s.Close(second);
        s.Close(first);
        Assert.Equal(capturesFirst ? 2 : 1, g.References);
    }

    [Fact]
    public void A_failing_driver_unwinds_the_bind()
    {
        VirtualMachine g = _s.Vm();
        KvmVfioDevice kvm = _s.KvmDevice(g);
        VfioDeviceFile file = Open();
        _s.Do(kvm.AddAsync(_s.Task, file));
        _driver.Answer = Errno.ENODEV;
        Assert.Equal(Errno.ENODEV, _s.Do(file.BindAsync(_s.Task, _iommufd)));
        Assert.Equal((0, 0, 1), (_device.OpenCount, _device.Group.DirectOpens, g.References));
        Assert.Equal(Errno.EINVAL, file.Use());
    }

    [Fact]
    public void Address_spaces_replace_each_other_and_take_the_pins_along()
    {
        const MapProtection both = MapProtection.Read | MapProtection.Write;
        VfioDeviceFile file = Open();
        _driver.Unmapped = (task, _, _) => _device.Pins.UnpinAsync(task, 0x2000);
        _s.Do(file.BindAsync(_s.Task, _iommufd));
        Assert.Equal(Errno.ENOENT, _s.Do(_device.Pins.PinAsync(_s.Task, 0x2000)));
        Assert.Equal(Errno.ENOENT, _s.Do(file.AttachAsync(_s.Task, _iommufd.Find(99))));
        Ioas one = _iommufd.Allocate();
        Ioas other = _iommufd.Allocate();
        Assert.Equal(Errno.Ok, _s.Do(one.MapAsync(_s.Task, 0x2000, 0x1000, both)));
        Assert.Equal(Errno.EEXIST, _s.Do(one.MapAsync(_s.Task, 0x2000, 0x1000, both)));
        Assert.Equal(Errno.Ok, _s.Do(one.MapAsync(_s.Task, 0x3000, 0x1000, MapProtection.Read)));
        Assert.Equal(Errno.Ok, _s.Do(file.AttachAsync(_s.Task, one)));
        Assert.Equal(Errno.Ok, _s.Do(_device.Pins.PinAsync(_s.Task, 0x2008)));
        Assert.Equal(Errno.EPERM, _s.Do(_device.Pins.PinAsync(_s.Task, 0x3000)));
        Assert.Equal(Errno.ENOENT, _s.Do(_device.Pins.PinAsync(_s.Task, 0x4000)));
        Assert.Equal(Errno.Ok, _s.Do(file.AttachAsync(_s.Task, other)));
        Assert.Equal(0, _device.Pins.Count);
        Assert.Equal(["open", "unmap 0+ffffffffffffffff"], _driver.Calls);
        Assert.Equal(Errno.ENOENT, _s.Do(_device.Pins.PinAsync(_s.Task, 0x2008)));
        Assert.Equal(Errno.Ok, _s.Do(file.DetachAsync(_s.Task)));
        Assert.Equal(Errno.Ok, _s.Do(file.DetachAsync(_s.Task)));
        Assert.Equal(Errno.Ok, _s.Do(file.AttachAsync(_s.Task, one)));
        Assert.Equal(Errno.Ok, _s.Do(_device.Pins.PinAsync(_s.Task, 0x2008)));
        Assert.Equal(Errno.ENOENT, _s.Do(one.UnmapAsync(_s.Task, 0x9000, 0x1000)));
        Assert.Equal(Errno.Ok, _s.Do(one.UnmapAsync(_s.Task, 0x2000, 0x1000)));
        Assert.Equal(0, _device.Pins.Count);
        _s.Close(file);
        Assert.Empty(_s.Runtime.Checks!.Violations.ToArray());
    }
}

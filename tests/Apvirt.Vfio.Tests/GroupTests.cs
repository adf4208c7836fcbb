using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Kernel;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Kvm;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio.Tests;

/// <summary>Groups, containers and the VM's VFIO device: every check in its order (vfio.md §3, kvm.md §8).</summary>
public sealed class GroupTests
{
    private readonly VfioSystem _s = new();

    [Fact]
    public void A_group_opens_once_and_numbers_are_used_again()
    {
        VfioDevice device = _s.Add("device").Device;
        Assert.Equal(0, device.Group.Number);
        Assert.Equal(Errno.Ok, _s.Do(device.Group.OpenAsync(_s.Task)));
        Assert.Equal(Errno.EBUSY, _s.Do(device.Group.OpenAsync(_s.Task)));
        _s.Do(device.Group.CloseAsync(_s.Task));
        Assert.Equal(Errno.Ok, _s.Do(device.Group.OpenAsync(_s.Task)));
        Device other = _s.DeviceOf("other");
        VfioGroup second = _s.Groups.Create(other);
        Assert.Equal(1, second.Number);
        _s.Groups.Remove(second, other);
        Assert.Equal(1, _s.Groups.Create(other).Number);
    }

    [Fact]
    public void A_group_without_devices_or_privilege_does_not_open()
    {
        Assert.Equal(Errno.ENODEV, _s.Do(_s.Groups.Create(_s.DeviceOf("empty")).OpenAsync(_s.Task)));
        VfioGroup free = _s.Add("free", GroupKind.NoIommu).Device.Group;
        Assert.Equal(Errno.EPERM, _s.Do(free.OpenAsync(_s.Task, isPrivileged: false)));
        Assert.Equal(Errno.Ok, _s.Do(free.OpenAsync(_s.Task)));
    }

    [Fact]
    public void A_device_without_an_IOMMU_is_opened_by_the_privileged_and_not_beside_others_in_an_iommufd()
    {
        VfioDevice free = _s.Add("free", GroupKind.NoIommu).Device;
        IommuFd iommufd = new(_s.Runtime, "process");
        Assert.Equal(Errno.Ok, _s.Do(free.Group.OpenAsync(_s.Task)));
        Assert.Equal(Errno.Ok, _s.Do(free.Group.SetContainerAsync(_s.Task, iommufd)));
        Assert.False(iommufd.HasCompatible);
        Assert.Equal(Errno.EPERM, _s.Do(free.Group.GetDeviceAsync(_s.Task, free.Name, isPrivileged: false)).Error);
        VfioDeviceFile file = _s.Open(free);
        _s.Close(file);
        VfioGroup other = _s.Add("other").Device.Group;
        Assert.Equal(Errno.Ok, _s.Do(other.OpenAsync(_s.Task)));
        Assert.Equal(Errno.Ok, _s.Do(other.SetContainerAsync(_s.Task, iommufd)));
        Assert.True(iommufd.HasCompatible);
        Assert.Equal(Errno.EPERM, _s.TryOpen(free));
        Assert.Equal((0, 0), (free.OpenCount, free.DriverOpens));
    }

    [Fact]
    public void A_group_whose_last_device_is_gone_takes_no_container()
    {
        VfioDevice device = _s.Add("device").Device;
        VfioGroup group = device.Group;
        Assert.Equal(Errno.Ok, _s.Do(group.OpenAsync(_s.Task)));
        _s.Do(device.UnregisterAsync(_s.Task));
        Assert.Equal(Errno.ENODEV, _s.Do(group.SetContainerAsync(_s.Task, new VfioContainer(_s.Runtime, "process", _s.Profile))));
        Assert.Equal(Errno.ENODEV, _s.Do(group.SetContainerAsync(_s.Task, new IommuFd(_s.Runtime, "process"))));
        Assert.Equal(Errno.EBADF, _s.Do(group.SetContainerAsync(_s.Task, null)));
    }

    [Fact]
    public void The_status_of_a_group_tells_whether_it_can_be_used_and_has_a_container()
    {
        VfioDevice device = _s.Add("device", GroupKind.Physical).Device;
        VfioGroup group = device.Group;
        Assert.Equal(Errno.EINVAL, _s.Do(group.GetStatusAsync(_s.Task, argumentSize: 7)).Error);
        Assert.Equal((Errno.Ok, GroupStatus.Viable), _s.Do(group.GetStatusAsync(_s.Task, argumentSize: 8)));
        // A driver of the host has a device of the group.
        Assert.Equal(Errno.Ok, group.Dma!.BeginHostUse(_s.Task));
        Assert.Equal((Errno.Ok, GroupStatus.None), _s.Do(group.GetStatusAsync(_s.Task, argumentSize: 8)));
        VfioContainer container = new(_s.Runtime, "process", _s.Profile);
        Assert.Equal(Errno.EPERM, _s.Do(group.SetContainerAsync(_s.Task, container)));
        group.Dma.EndHostUse(_s.Task);
        Assert.Equal(Errno.Ok, _s.Do(group.SetContainerAsync(_s.Task, container)));
        Assert.Equal((Errno.Ok, GroupStatus.Viable | GroupStatus.ContainerSet), _s.Do(group.GetStatusAsync(_s.Task, argumentSize: 8)));
        Assert.Equal(Errno.EBUSY, group.Dma.BeginHostUse(_s.Task));
        Assert.Equal(Errno.Ok, _s.Do(group.UnsetContainerAsync(_s.Task)));
        _s.Do(device.UnregisterAsync(_s.Task));
        Assert.Equal(Errno.ENODEV, _s.Do(group.GetStatusAsync(_s.Task, argumentSize: 8)).Error);
    }

    [Fact]
    public void Two_owners_do_not_share_the_dma_of_a_group()
    {
        VfioGroup group = _s.Add("device", GroupKind.Physical).Device.Group;
        VfioDevice device = _s.Add("other", GroupKind.Physical).Device;
        Assert.Equal(Errno.Ok, _s.Do(group.SetContainerAsync(_s.Task, new VfioContainer(_s.Runtime, "process", _s.Profile))));
        Assert.Equal(1, group.Dma!.Claims);
        // The device's own file claims for its iommufd.
        VfioDeviceFile file = device.OpenDirectly(_s.Task).File!;
        Assert.Equal(Errno.Ok, device.Group.Dma!.BeginHostUse(_s.Task));
        Assert.Equal(Errno.EPERM, _s.Do(file.BindAsync(_s.Task, new IommuFd(_s.Runtime, "process"))));
        Assert.Equal((0, 0), (device.OpenCount, device.Group.DirectOpens));
        device.Group.Dma.EndHostUse(_s.Task);
        Assert.Equal(Errno.Ok, _s.Do(file.BindAsync(_s.Task, new IommuFd(_s.Runtime, "process"))));
        Assert.Equal(1, device.Group.Dma.Claims);
        _s.Do(file.CloseAsync(_s.Task));
        Assert.Equal(0, device.Group.Dma.Claims);
    }

    [Fact]
    public void Containers_are_set_once_and_unset_when_no_device_is_open()
    {
        VfioDevice device = _s.Add("device").Device;
        VfioGroup group = device.Group;
        _s.Do(group.OpenAsync(_s.Task));
        Assert.Equal(Errno.EINVAL, _s.Do(group.UnsetContainerAsync(_s.Task)));
        Assert.Equal(Errno.EBADF, _s.Do(group.SetContainerAsync(_s.Task, null)));
        Assert.Equal(Errno.EBADFD, _s.Do(group.SetContainerAsync(_s.Task, new object())));
        VfioContainer container = new(_s.Runtime, "process", _s.Profile);
        Assert.Equal(Errno.EINVAL, _s.Do(container.SetIommuAsync(_s.Task, 2)));
        Assert.Equal(Errno.EINVAL, _s.Do(container.MapAsync(_s.Task, 0, 0x1000, MapProtection.Read)));
        Assert.Equal(Errno.Ok, _s.Do(group.SetContainerAsync(_s.Task, container)));
        Assert.Equal(Errno.EINVAL, _s.Do(group.SetContainerAsync(_s.Task, container)));
        Assert.Equal(Errno.EINVAL, _s.Do(group.SetContainerAsync(_s.Task, new IommuFd(_s.Runtime, "process"))));
        // Without a driver a device cannot use it.
        Assert.Equal(Errno.EINVAL, _s.TryOpen(device));
        Assert.Equal(Errno.ENODEV, _s.Do(container.SetIommuAsync(_s.Task, 3)));
        Assert.Equal(Errno.Ok, _s.Do(container.SetIommuAsync(_s.Task, 2)));
        Assert.Equal(Errno.EINVAL, _s.Do(container.SetIommuAsync(_s.Task, 2)));
        Assert.Equal(Errno.ENODEV, _s.Do(group.GetDeviceAsync(_s.Task, "nosuch")).Error);
        VfioDeviceFile file = _s.Open(device);
        Assert.Equal(2, group.ContainerUsers);
        Assert.Equal(Errno.EBUSY, _s.Do(group.UnsetContainerAsync(_s.Task)));
        _s.Close(file);
        Assert.Equal(Errno.Ok, _s.Do(group.UnsetContainerAsync(_s.Task)));
        Assert.Null(container.Iommu);
        Assert.Equal(Errno.EINVAL, _s.TryOpen(device));
    }

    [Fact]
    public void M097_only_a_physical_group_claims_dma()
    {
        foreach (GroupKind kind in Enum.GetValues<GroupKind>())
        {
            VfioGroup group = _s.Add(kind.ToString(), kind).Device.Group;
            _s.Do(group.OpenAsync(_s.Task));
            Assert.Equal(Errno.Ok, _s.Do(group.SetContainerAsync(_s.Task, new VfioContainer(_s.Runtime, "process", _s.Profile))));
            Assert.Equal(kind == GroupKind.Physical ? 1 : 0, group.Dma?.Claims ?? 0);
            Assert.Equal(Errno.Ok, _s.Do(group.UnsetContainerAsync(_s.Task)));
            Assert.Equal(0, group.Dma?.Claims ?? 0);
        }
    }

    [Fact]
    public void Groups_with_and_without_an_iommu_do_not_mix()
    {
        VfioContainer container = new(_s.Runtime, "process", _s.Profile);
        VfioGroup emulated = _s.Add("emulated").Device.Group;
        VfioGroup free = _s.Add("free", GroupKind.NoIommu).Device.Group;
        _s.Do(emulated.OpenAsync(_s.Task));
        _s.Do(free.OpenAsync(_s.Task));
        Assert.Equal(Errno.Ok, _s.Do(emulated.SetContainerAsync(_s.Task, container)));
        Assert.Equal(Errno.EPERM, _s.Do(free.SetContainerAsync(_s.Task, container)));
    }

    [Fact]
    public void A_vm_has_one_vfio_device_and_knows_each_file_once()
    {
        VirtualMachine g = _s.Vm();
        KvmVfioDevice kvm = _s.KvmDevice(g);
        Assert.Equal(Errno.EBUSY, _s.Do(KvmVfioDevice.CreateAsync(_s.Task, g)).Error);
        VfioGroup group = _s.Add("device").Device.Group;
        Assert.Equal(Errno.EBADF, _s.Do(kvm.AddAsync(_s.Task, null)));
        Assert.Equal(Errno.EINVAL, _s.Do(kvm.AddAsync(_s.Task, new object())));
        Assert.Equal(Errno.ENOENT, _s.Do(kvm.DeleteAsync(_s.Task, group)));
        Assert.Equal(Errno.Ok, _s.Do(kvm.AddAsync(_s.Task, group)));
        Assert.Same(g, group.Kvm);
        Assert.Equal(Errno.EEXIST, _s.Do(kvm.AddAsync(_s.Task, group)));
        Assert.Equal(Errno.Ok, _s.Do(kvm.DeleteAsync(_s.Task, group)));
        Assert.Null(group.Kvm);
        Assert.Equal(Errno.EBADF, _s.Do(kvm.DeleteAsync(_s.Task, null)));
        _s.Do(kvm.CloseAsync(_s.Task));
        Assert.Equal(Errno.Ok, _s.Do(KvmVfioDevice.CreateAsync(_s.Task, g)).Error);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void F16_linux_612_ends_the_association_that_another_vm_has_made(bool endsForeign)
    {
        VfioSystem s = new(endsForeign ? Profile.Linux612 : Profile.Strict);
        VfioGroup group = s.Add("device").Device.Group;
        VirtualMachine second = s.Vm("h");
        KvmVfioDevice one = s.KvmDevice(s.Vm());
        KvmVfioDevice other = s.KvmDevice(second);
        s.Do(one.AddAsync(s.Task, group));
        s.Do(other.AddAsync(s.Task, group));
        s.Do(one.DeleteAsync(s.Task, group));
        Assert.Equal(!endsForeign, group.Kvm == second);
    }
}

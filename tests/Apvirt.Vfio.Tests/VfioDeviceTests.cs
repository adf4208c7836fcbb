using Apvirt.Devices.Core;
using Apvirt.Kernel;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;

namespace Apvirt.Vfio.Tests;

/// <summary>Open, close, the captured VM, pins and unregistration (vfio.md §2, §4, §7; M080, M081, M084).</summary>
public sealed class VfioDeviceTests : IVfioDriver
{
    private readonly SimulationRuntime _runtime = new();
    private readonly KernelTask _task;
    private readonly VfioGroups _groups;
    private readonly VfioDevice _device;
    private readonly VirtualMachine _machine = new("g", hostHasApxa: true, new VirtualMachineOptions { MemoryBytes = 1 << 20 });
    private readonly List<string> _calls = [];
    private Errno _answer;

    public VfioDeviceTests()
    {
        _task = _runtime.CreateTask("test");
        DeviceModel model = new(_runtime);
        _groups = new VfioGroups(model.Tree);
        _device = new VfioDevice("device", this, _groups.Create(new RootDevice(model, "root")), new KernelLog());
    }

    ValueTask<Errno> IVfioDriver.OpenDeviceAsync(KernelTask task)
    {
        _calls.Add("open");
        return new ValueTask<Errno>(_answer);
    }

    ValueTask IVfioDriver.CloseDeviceAsync(KernelTask task)
    {
        _calls.Add("close");
        return default;
    }

    ValueTask IVfioDriver.DmaUnmapAsync(KernelTask task, ulong iova, ulong length)
    {
        _calls.Add("unmap");
        return default;
    }

    ValueTask IVfioDriver.RequestAsync(KernelTask task, int count)
    {
        _calls.Add($"request {count}");
        return default;
    }

    private void Close() => Assert.True(_runtime.Drive(_device.CloseAsync(_task), TimeSpan.FromSeconds(1)));

    [Fact]
    public void M080_M081_the_vm_is_captured_at_the_first_open_and_kept_until_the_last_close()
    {
        VirtualMachine other = new("h", hostHasApxa: true, new VirtualMachineOptions());
        Assert.Equal(Errno.Ok, _runtime.Drive(_device.OpenAsync(_task, _machine)));
        Assert.Equal(Errno.Ok, _runtime.Drive(_device.OpenAsync(_task, other)));
        Assert.Same(_machine, _device.Kvm);
        Assert.Equal((2, 1), (_machine.References, other.References));
        Close();
        Assert.Same(_machine, _device.Kvm);
        Close();
        Assert.Null(_device.Kvm);
        Assert.Equal(1, _machine.References);
        Assert.Equal(["open", "close"], _calls);
    }

    [Fact]
    public void M098_a_failing_open_is_unwound()
    {
        _answer = Errno.EINVAL;
        Assert.Equal(Errno.EINVAL, _runtime.Drive(_device.OpenAsync(_task, _machine)));
        Assert.Equal((0, 1), (_device.OpenCount, _machine.References));
        Assert.True(_runtime.Drive(_device.UnregisterAsync(_task), TimeSpan.Zero));
    }

    [Fact]
    public void Unregistering_waits_for_the_last_close_and_asks_every_ten_seconds()
    {
        Assert.Equal(Errno.Ok, _runtime.Drive(_device.OpenAsync(_task, _machine)));
        bool done = false;
        SpawnedTask remover = _runtime.Spawn("remover", async task =>
        {
            await _device.UnregisterAsync(task);
            done = true;
        });
        _runtime.Advance(TimeSpan.FromSeconds(25));
        Assert.Equal(["open", "request 0", "request 1", "request 2"], _calls);
        Assert.Equal(Errno.ENODEV, _runtime.Drive(_device.OpenAsync(_task, _machine)));
        remover.Task.Interrupt();
        _runtime.Advance(TimeSpan.Zero);
        Assert.False(done);
        Close();
        _runtime.Advance(TimeSpan.Zero);
        Assert.True(done);
    }

    [Fact]
    public void Pins_count_with_multiplicity_need_memory_and_end_with_the_last_close()
    {
        Assert.Equal(Errno.EINVAL, _runtime.Drive(_device.Pins.PinAsync(_task, 0x1000)));
        Assert.Equal(Errno.Ok, _runtime.Drive(_device.OpenAsync(_task, _machine)));
        _runtime.Drive(_device.UnmapAsync(_task, 0, 0x1000), TimeSpan.Zero);
        Assert.Equal(Errno.Ok, _runtime.Drive(_device.Pins.PinAsync(_task, 0x1000)));
        Assert.Equal(Errno.Ok, _runtime.Drive(_device.Pins.PinAsync(_task, 0x1fff)));
        Assert.Equal(Errno.EINVAL, _runtime.Drive(_device.Pins.PinAsync(_task, 1 << 20)));
        Assert.Equal(2, _device.Pins.Count);
        _runtime.Drive(_device.UnmapAsync(_task, 0, 0x1000), TimeSpan.Zero);
        _runtime.Drive(_device.Pins.UnpinAsync(_task, 0x1234), TimeSpan.Zero);
        Assert.Equal(1, _device.Pins.Count);
        Close();
        Assert.Equal(0, _device.Pins.Count);
        Assert.Equal(["open", "unmap", "close"], _calls);
    }

    [Fact]
    public void A_group_opens_once_and_numbers_are_used_again()
    {
        Assert.Equal(0, _device.Group.Number);
        Assert.Equal(Errno.Ok, _device.Group.Open());
        Assert.Equal(Errno.EBUSY, _device.Group.Open());
        _device.Group.Close();
        Assert.Equal(Errno.Ok, _device.Group.Open());
        RootDevice device = new(new DeviceModel(_runtime), "other");
        VfioGroup second = _groups.Create(device);
        Assert.Equal(1, second.Number);
        _groups.Remove(second, device);
        Assert.Equal(1, _groups.Create(device).Number);
    }
}

using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Kvm;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio.Tests;

/// <summary>A machine with VFIO devices whose driver records what it is asked, and user space that uses them.</summary>
internal sealed class VfioSystem
{
    internal const ulong Memory = 1 << 20;

    private readonly DeviceModel _model;

    internal VfioSystem(Profile? profile = null)
    {
        Profile = profile ?? Profile.Strict;
        Task = Runtime.CreateTask("test");
        _model = new DeviceModel(Runtime);
        Groups = new VfioGroups(_model.Tree, Profile);
    }

    internal SimulationRuntime Runtime { get; } = new() { Checks = new KernelChecks() };

    internal Profile Profile { get; }

    internal KernelTask Task { get; }

    internal VfioGroups Groups { get; }

    internal Device DeviceOf(string name) => new RootDevice(_model, name);

    internal T Do<T>(ValueTask<T> operation) => Runtime.Drive(operation);

    internal void Do(ValueTask operation) => Assert.True(Runtime.Drive(operation, TimeSpan.FromSeconds(1)));

    internal (VfioDevice Device, RecordingDriver Driver) Add(string name, GroupKind kind = GroupKind.Emulated, RecordingDriver? made = null)
    {
        RecordingDriver driver = made ?? new();
        VfioDevice device = new(name, driver, Groups.Create(DeviceOf(name), kind), new KernelLog());
        Assert.Equal(Errno.Ok, Do(device.OfferAsync(Task)));
        return (device, driver);
    }

    internal VirtualMachine Vm(string name = "g") => new(Runtime, name, hostHasApxa: true, new VirtualMachineOptions { MemoryBytes = Memory });

    internal KvmVfioDevice KvmDevice(VirtualMachine machine)
    {
        (Errno error, KvmVfioDevice? device) = Do(KvmVfioDevice.CreateAsync(Task, machine));
        Assert.Equal(Errno.Ok, error);
        return device!;
    }

    /// <summary>A container with a group and memory mapped, the group's file open.</summary>
    internal VfioContainer Contain(VfioGroup group, UserMemory? memory = null)
    {
        VfioContainer container = new(Runtime, "process", Profile, memory);
        Assert.Equal(Errno.Ok, Do(group.OpenAsync(Task)));
        Assert.Equal(Errno.Ok, Do(group.SetContainerAsync(Task, container)));
        Assert.Equal(Errno.Ok, Do(container.SetIommuAsync(Task, 2)));
        Assert.Equal(Errno.Ok, Do(container.MapAsync(Task, 0, Memory, MapProtection.Read | MapProtection.Write)));
        return container;
    }

    internal VfioDeviceFile Open(VfioDevice device)
    {
        (Errno error, VfioDeviceFile? file) = Do(device.Group.GetDeviceAsync(Task, device.Name));
        Assert.Equal(Errno.Ok, error);
        return file!;
    }

    internal Errno TryOpen(VfioDevice device) => Do(device.Group.GetDeviceAsync(Task, device.Name)).Error;

    internal void Close(VfioDeviceFile file) => Do(file.CloseAsync(Task));
}

/// <summary>A driver that records its calls, answers as it is told, and unpins what goes.</summary>
internal sealed class RecordingDriver : IVfioDriver
{
    internal List<string> Calls { get; } = [];

    public DriverModule Module { get; } = new("recording");

    internal Errno Answer { get; set; }

    public bool HasDmaUnmap { get; init; } = true;

    public bool HasIommufdOperations { get; init; } = true;

    internal Func<KernelTask, ulong, ulong, ValueTask>? Unmapped { get; set; }

    public ValueTask<Errno> OpenDeviceAsync(KernelTask task)
    {
        Calls.Add("open");
        return new ValueTask<Errno>(Answer);
    }

    public ValueTask CloseDeviceAsync(KernelTask task)
    {
        Calls.Add("close");
        return default;
    }

    public ValueTask DmaUnmapAsync(KernelTask task, ulong iova, ulong length)
    {
        Calls.Add($"unmap {iova:x}+{length:x}");
        return Unmapped?.Invoke(task, iova, length) ?? default;
    }

    public ValueTask RequestAsync(KernelTask task, int count)
    {
        Calls.Add($"request {count}");
        return default;
    }
}

using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Kernel;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Kvm;
using Apvirt.Vfio.Memory;
using Apvirt.VfioPci.Vgpu;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci.Tests;

/// <summary>A machine with zPCI functions and vGPUs, and a guest that uses them.</summary>
internal sealed class PciSystem
{
    internal const ulong Memory = 1 << 20;

    private readonly DeviceModel _model;
    private readonly Func<Func<ValueTask>, bool> _drive;

    internal PciSystem(KernelRuntime runtime, Func<Func<ValueTask>, bool> drive, VirtualMachineOptions? options = null)
    {
        _drive = drive;
        Task = runtime.CreateTask("set-up");
        _model = new DeviceModel(runtime);
        Groups = new VfioGroups(_model.Tree);
        Container = new VfioContainer(runtime, "process", Groups.Profile);
        Interrupts = new AdapterInterruptTable(runtime);
        Other = new VirtualMachine(runtime, "other", hostHasApxa: true, new VirtualMachineOptions());
        G = new VirtualMachine(runtime, "g", hostHasApxa: true, (options ?? new VirtualMachineOptions()) with { MemoryBytes = Memory });
        Do(async () => KvmDevice = (await KvmVfioDevice.CreateAsync(Task, G)).Device!);
    }

    internal KernelTask Task { get; }

    internal VfioGroups Groups { get; }

    internal VfioContainer Container { get; }

    internal AdapterInterruptTable Interrupts { get; }

    internal VirtualMachine G { get; }

    internal VirtualMachine Other { get; }

    internal DriverModule Module { get; } = new("vfio_pci");

    internal KvmVfioDevice KvmDevice { get; private set; } = null!;

    internal void Do(Func<ValueTask> operation) => Assert.True(_drive(operation));

    internal VfioDevice Register(string name, IVfioDriver driver) => new(name, driver, Groups.Create(new RootDevice(_model, name)), new KernelLog());

    internal void Offer(VfioDevice device, bool withVm = true) =>
        Do(async () =>
        {
            await device.OfferAsync(Task);
            Assert.Equal(Errno.Ok, await device.Group.OpenAsync(Task));
            Assert.Equal(Errno.Ok, await device.Group.SetContainerAsync(Task, Container));
            if (Container.Iommu is null)
            {
                await Container.SetIommuAsync(Task, 2);
                await Container.MapAsync(Task, 0, Memory, MapProtection.Read | MapProtection.Write);
            }
            if (withVm)
                await KvmDevice.AddAsync(Task, device.Group);
        });

    internal (VfioPciDevice Driver, ZpciFunction Function) AddFunction(
        string name, uint fid, bool withVm = true, ZpciHooks hooks = ZpciHooks.Present, bool canInterpret = true, Profile? profile = null, Action<string>? stepped = null)
    {
        ZpciFunction function = new(Task, new ZpciFirmware(Task.Runtime, fid, fid, canInterpret), Interrupts, profile ?? Profile.Strict);
        VfioPciDevice driver = new(Task.Runtime, name, function, new KernelLog(), self => Register(name, self), Module, hooks) { Stepped = stepped };
        Offer(driver.Device, withVm);
        return (driver, function);
    }

    internal GvtDevice AddVgpu(string name, GvtAdapter adapter, bool withVm = true)
    {
        GvtDevice vgpu = new(name, adapter, self => Register(name, self));
        Offer(vgpu.Device, withVm);
        return vgpu;
    }

    internal (Errno Error, VfioDeviceFile? File) Open(VfioDevice device)
    {
        (Errno, VfioDeviceFile?) answer = default;
        Do(async () => answer = await device.Group.GetDeviceAsync(Task, device.Name));
        return answer;
    }

    internal void Close(VfioDeviceFile file) => Do(() => file.CloseAsync(Task));
}

using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Kvm;
using Apvirt.Vfio.Memory;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.Host.Guests;

/// <summary>
/// The user-space process of a guest, as QEMU is one: it has the VM, the VM's VFIO device, a container with the guest's
/// memory, and the groups and devices open.
/// </summary>
public sealed class GuestProcess
{
    private readonly VfioBehaviour _behaviour;

    // Replaced whole, so that whoever looks sees one state. Changed by one manager at a time.
    private OpenDevice[] _devices = [];

    private KvmVfioDevice? _kvmDevice;

    private sealed record OpenDevice(MatrixMdev Mdev, VfioDeviceFile File);

    internal GuestProcess(string name, VirtualMachine machine, VfioBehaviour behaviour)
    {
        Name = name;
        Machine = machine;
        _behaviour = behaviour;
    }

    /// <summary>Name of the guest.</summary>
    public string Name { get; }

    /// <summary>The VM.</summary>
    public VirtualMachine Machine { get; }

    /// <summary>The container of the guest's memory; null until the first device comes.</summary>
    public VfioContainer? Container { get; private set; }

    /// <summary>The mediated devices that the guest has open.</summary>
    public IReadOnlyList<MatrixMdev> Devices => [.. _devices.Select(device => device.Mdev)];

    /// <summary>Pages pinned over all open devices.</summary>
    public int PinCount => _devices.Sum(device => device.Mdev.Vfio.Pins.Count);

    /// <summary>Opens a device whose group's file is open: container, memory, VM, device, eventfd, in the order of QEMU.</summary>
    internal async ValueTask<Errno> OpenAsync(KernelTask task, MatrixMdev mdev, GuestOptions options, Action<MatrixMdev> requested)
    {
        VfioGroup group = mdev.Vfio.Group;
        Container ??= new VfioContainer(_behaviour);
        Errno error = await group.SetContainerAsync(task, Container);
        if (error == Errno.Ok && Container.Iommu is null)
            error = await MapMemoryAsync(task, Container);
        if (error == Errno.Ok && options.AssociatesKvm)
            error = await AssociateAsync(task, group);
        VfioDeviceFile? file = null;
        if (error == Errno.Ok)
            (error, file) = await group.GetDeviceAsync(task, mdev.Vfio.Name);
        if (error != Errno.Ok)
        {
            await LeaveAsync(task, group);
            return error;
        }
        Touches(task);
        _devices = [.. _devices, new OpenDevice(mdev, file!)];
        if (!options.RegistersRequest)
            return Errno.Ok;
        Eventfd eventfd = new(() => requested(mdev));
        return await mdev.SetIrqsAsync(task, VfioIrqSet.DeviceRequest, descriptor: 0, _ => (Errno.Ok, eventfd));
    }

    internal async ValueTask<Errno> CloseAsync(KernelTask task, MatrixMdev mdev)
    {
        if (Array.Find(_devices, device => device.Mdev == mdev) is not { } open)
            return Errno.ENODEV;
        Touches(task);
        _devices = [.. _devices.Where(device => device != open)];
        VfioGroup group = mdev.Vfio.Group;
        await open.File.CloseAsync(task);
        await LeaveAsync(task, group);
        await group.CloseAsync(task);
        return Errno.Ok;
    }

    /// <summary>The process ends: what it has open is closed.</summary>
    internal async ValueTask EndAsync(KernelTask task)
    {
        if (_kvmDevice is not null)
            await _kvmDevice.CloseAsync(task);
        Machine.Put(task);
    }

    private async ValueTask LeaveAsync(KernelTask task, VfioGroup group)
    {
        if (_kvmDevice is not null)
            await _kvmDevice.DeleteAsync(task, group);
        await group.UnsetContainerAsync(task);
    }

    private async ValueTask<Errno> MapMemoryAsync(KernelTask task, VfioContainer container)
    {
        const ulong pageMask = 0xfff;
        Errno error = await container.SetIommuAsync(task, version: 2);
        ulong bytes = Machine.Options.MemoryBytes & ~pageMask;
        return error == Errno.Ok && bytes > 0 ? await container.MapAsync(task, 0, bytes, MapProtection.Read | MapProtection.Write) : error;
    }

    private async ValueTask<Errno> AssociateAsync(KernelTask task, VfioGroup group)
    {
        if (_kvmDevice is null)
        {
            (Errno error, _kvmDevice) = await KvmVfioDevice.CreateAsync(task, Machine);
            if (error != Errno.Ok)
                return error;
        }
        return await _kvmDevice!.AddAsync(task, group);
    }

    private static void Touches(KernelTask task)
    {
        if (task.HasPoints)
            task.Runtime.Touched("guests", isWrite: true);
    }
}

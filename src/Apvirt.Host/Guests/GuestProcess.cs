using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.Host.Guests;

/// <summary>The user-space process of a guest, as QEMU is one: it has the VM and the VFIO devices open.</summary>
public sealed class GuestProcess
{
    // Replaced whole, so that whoever looks sees one state. Changed by one manager at a time.
    private MatrixMdev[] _devices = [];

    internal GuestProcess(string name, VirtualMachine machine)
    {
        Name = name;
        Machine = machine;
    }

    /// <summary>Name of the guest.</summary>
    public string Name { get; }

    /// <summary>The VM.</summary>
    public VirtualMachine Machine { get; }

    /// <summary>The mediated devices that the guest has open.</summary>
    public IReadOnlyList<MatrixMdev> Devices => _devices;

    /// <summary>Pages pinned over all open devices.</summary>
    public int PinCount => _devices.Sum(d => d.Vfio.Pins.Count);

    internal async ValueTask<Errno> OpenAsync(KernelTask task, MatrixMdev mdev, GuestOptions options, Action<MatrixMdev> requested)
    {
        Errno error = await mdev.Vfio.OpenAsync(task, options.AssociatesKvm ? Machine : null);
        if (error != Errno.Ok)
            return error;
        Touches(task);
        _devices = [.. _devices, mdev];
        if (!options.RegistersRequest)
            return Errno.Ok;
        Eventfd eventfd = new(() => requested(mdev));
        return await mdev.SetIrqsAsync(task, VfioIrqSet.DeviceRequest, descriptor: 0, _ => (Errno.Ok, eventfd));
    }

    internal async ValueTask<Errno> CloseAsync(KernelTask task, MatrixMdev mdev)
    {
        if (!_devices.Contains(mdev))
            return Errno.ENODEV;
        Touches(task);
        _devices = [.. _devices.Where(d => d != mdev)];
        await mdev.Vfio.CloseAsync(task);
        mdev.Vfio.Group.Close();
        return Errno.Ok;
    }

    private static void Touches(KernelTask task)
    {
        if (task.HasPoints)
            task.Runtime.Touched("guests", isWrite: true);
    }
}

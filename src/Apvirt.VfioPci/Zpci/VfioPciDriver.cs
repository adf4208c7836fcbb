using Apvirt.Devices.Core;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;
using Apvirt.VfioPci.Pci;

namespace Apvirt.VfioPci.Zpci;

/// <summary>vfio-pci: gives functions to user space. Takes what is meant for it, or what it is told of.</summary>
public sealed class VfioPciDriver : PciDriver
{
    /// <summary>Its name.</summary>
    public const string DriverName = "vfio-pci";

    private readonly ZpciHooks _hooks;

    /// <summary>Makes the driver.</summary>
    /// <param name="bus">The PCI bus.</param>
    /// <param name="hooks">What there is of KVM's hooks for zPCI.</param>
    public VfioPciDriver(PciBus bus, ZpciHooks hooks) : base(bus, DriverName) => _hooks = hooks;

    /// <summary>Its module.</summary>
    public DriverModule Module { get; } = new("vfio_pci");

    /// <inheritdoc/>
    public override ValueTask<Errno> ProbeAsync(KernelTask task, Device device) => ProbeAsync(task, (PciDevice)device);

    /// <inheritdoc/>
    public override async ValueTask RemoveAsync(KernelTask task, Device device)
    {
        PciDevice function = (PciDevice)device;
        await function.Vfio!.Device.UnregisterAsync(task);
        function.Vfio = null;
    }

    private async ValueTask<Errno> ProbeAsync(KernelTask task, PciDevice function)
    {
        VfioPciDevice vfio = new(
            task.Runtime,
            function.Name,
            function.Function,
            function.Model.Log,
            driver => new VfioDevice(function.Name, driver, function.Group, function.Model.Log, function),
            Module,
            _hooks);
        function.Vfio = vfio;
        Errno error = await vfio.Device.OfferAsync(task);
        if (error != Errno.Ok)
            function.Vfio = null;
        return error;
    }
}

using Apvirt.Devices.Core;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Mdev;
using Apvirt.VfioPci.Pci;

namespace Apvirt.VfioPci.Vgpu;

/// <summary>A vGPU as a mediated device.</summary>
public sealed class GvtMdev : MdevDevice
{
    internal GvtMdev(MdevType type, Guid uuid) : base(type, uuid)
    {
    }

    /// <summary>The vGPU; null unless it is bound.</summary>
    public GvtDevice? Vgpu { get; internal set; }
}

/// <summary>The driver of vGPUs.</summary>
public sealed class GvtMdevDriver : MdevDriver
{
    private readonly VfioGroups _groups;
    private readonly Func<Device, GvtAdapter> _adapterOf;

    /// <summary>Makes the driver.</summary>
    /// <param name="bus">The mdev bus.</param>
    /// <param name="groups">The machine's groups.</param>
    /// <param name="adapterOf">Which adapter a parent is.</param>
    internal GvtMdevDriver(MdevBus bus, VfioGroups groups, Func<Device, GvtAdapter> adapterOf) : base(bus, "intel_vgpu_mdev")
    {
        _groups = groups;
        _adapterOf = adapterOf;
    }

    /// <summary>The vGPUs now, for observers. Replaced whole.</summary>
    public IReadOnlyList<GvtMdev> Mdevs { get; private set; } = [];

    /// <inheritdoc/>
    public override string ModuleName => "i915";

    /// <inheritdoc/>
    public override string DeviceApi => "vfio-pci";

    /// <inheritdoc/>
    public override MdevDevice CreateDevice(MdevType type, Guid uuid) => new GvtMdev(type, uuid);

    /// <inheritdoc/>
    public override async ValueTask<Errno> ProbeAsync(KernelTask task, Device device)
    {
        GvtMdev mdev = (GvtMdev)device;
        GvtDevice vgpu = new($"vgpu {mdev.Name}", _adapterOf(mdev.Type.Parent.Device));
        vgpu.Device = new VfioDevice($"vgpu {mdev.Name}", vgpu, _groups.Create(mdev), mdev.Model.Log, mdev);
        mdev.Vgpu = vgpu;
        Mdevs = [.. Mdevs, mdev];
        await vgpu.Device.OfferAsync(task);
        return Errno.Ok;
    }

    /// <inheritdoc/>
    public override async ValueTask RemoveAsync(KernelTask task, Device device)
    {
        GvtMdev mdev = (GvtMdev)device;
        VfioDevice vfio = mdev.Vgpu!.Device;
        await vfio.UnregisterAsync(task);
        mdev.Vgpu = null;
        Mdevs = [.. Mdevs.Where(other => other != mdev)];
        _groups.Remove(vfio.Group, mdev);
    }
}

/// <summary>The host's driver of graphics adapters: while it has one, vGPUs can be made of it.</summary>
public sealed class GvtHostDriver : NativePciDriver
{
    private const int InstancesMax = 4;

    private readonly PciSubsystem _subsystem;
    private readonly Dictionary<Device, MdevParent> _parents = [];

    internal GvtHostDriver(PciSubsystem subsystem, PciFunctionType type) : base(subsystem.Bus, type) => _subsystem = subsystem;

    /// <inheritdoc/>
    public override async ValueTask<Errno> ProbeAsync(KernelTask task, Device device)
    {
        Errno error = await base.ProbeAsync(task, device);
        if (error == Errno.Ok)
            _parents.Add(device, new MdevParent(_subsystem.MdevBus, device, _subsystem.VgpuDriver, InstancesMax, "GVTg_V5_4", "GVTg_V5_4"));
        return error;
    }

    /// <inheritdoc/>
    public override async ValueTask RemoveAsync(KernelTask task, Device device)
    {
        _parents.Remove(device, out MdevParent? parent);
        await parent!.UnregisterAsync(task);
        await base.RemoveAsync(task, device);
    }
}

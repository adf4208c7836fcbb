using Apvirt.Devices.Core;
using Apvirt.Kernel;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Mdev;
using Apvirt.VfioPci.Pci;

namespace Apvirt.VfioPci.Vgpu;

/// <summary>A vGPU as a mediated device.</summary>
public sealed class GvtMdev : MdevDevice
{
    private Shared<GvtDevice?> _vgpu;

    internal GvtMdev(MdevType type, Guid uuid) : base(type, uuid)
    {
    }

    /// <summary>The vGPU; null unless it is bound.</summary>
    public GvtDevice? Vgpu
    {
        get => _vgpu.Read(Model.Runtime, this, PciFields.VgpuData);
        internal set => _vgpu.Write(Model.Runtime, this, PciFields.VgpuData, value);
    }
}

/// <summary>The driver of vGPUs.</summary>
public sealed class GvtMdevDriver : MdevDriver
{
    private readonly VfioGroups _groups;
    private readonly Func<Device, GvtAdapter> _adapterOf;
    private Shared<GvtMdev[]> _mdevs = new([]);

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
    public IReadOnlyList<GvtMdev> Mdevs => _mdevs.Read(Bus.Model.Runtime, this, PciFields.Vgpus);

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
        string name = $"vgpu {mdev.Name}";
        GvtDevice vgpu = new(name, _adapterOf(mdev.Type.Parent.Device), driver => new VfioDevice(name, driver, _groups.Create(mdev), mdev.Model.Log, mdev));
        mdev.Vgpu = vgpu;
        _mdevs.Update(task.Runtime, this, PciFields.Vgpus, mdev, static (all, added) => [.. all, added]);
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
        _mdevs.Update(task.Runtime, this, PciFields.Vgpus, mdev, static (all, removed) => [.. all.Where(other => other != removed)]);
        _groups.Remove(vfio.Group, mdev);
    }
}

/// <summary>The host's driver of graphics adapters: while it has one, vGPUs can be made of it.</summary>
public sealed class GvtHostDriver : NativePciDriver
{
    private const int InstancesMax = 4;

    private readonly PciSubsystem _subsystem;
    private readonly SharedMap<Device, MdevParent> _parents;

    internal GvtHostDriver(PciSubsystem subsystem, PciFunctionType type) : base(subsystem.Bus, type)
    {
        _subsystem = subsystem;
        _parents = new SharedMap<Device, MdevParent>(this, PciFields.Parents);
    }

    /// <inheritdoc/>
    public override async ValueTask<Errno> ProbeAsync(KernelTask task, Device device)
    {
        Errno error = await base.ProbeAsync(task, device);
        if (error == Errno.Ok)
            _parents.Set(task.Runtime, device, new MdevParent(_subsystem.MdevBus, device, _subsystem.VgpuDriver, InstancesMax, "GVTg_V5_4", "GVTg_V5_4"));
        return error;
    }

    /// <inheritdoc/>
    public override async ValueTask RemoveAsync(KernelTask task, Device device)
    {
        _parents.Remove(task.Runtime, device, out MdevParent? parent);
        await parent!.UnregisterAsync(task);
        await base.RemoveAsync(task, device);
    }
}

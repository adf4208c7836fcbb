using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Mdev;
using Apvirt.VfioAp.Matrix;

namespace Apvirt.VfioAp.Mdev;

/// <summary>The driver of vfio_ap's mediated devices.</summary>
public sealed class VfioApMdevDriver : MdevDriver
{
    private readonly MatrixDevice _matrix;

    /// <summary>Makes the driver.</summary>
    /// <param name="bus">The mdev bus.</param>
    /// <param name="matrix">The matrix device.</param>
    public VfioApMdevDriver(MdevBus bus, MatrixDevice matrix) : base(bus, "vfio_ap_mdev") => _matrix = matrix;

    /// <inheritdoc/>
    public override string ModuleName => "vfio_ap";

    /// <inheritdoc/>
    public override string DeviceApi => "vfio-ap";

    /// <inheritdoc/>
    public override MdevDevice CreateDevice(MdevType type, Guid uuid) => new MatrixMdev(type, uuid, _matrix);

    /// <inheritdoc/>
    public override async ValueTask<Errno> ProbeAsync(KernelTask task, Device device)
    {
        MatrixMdev mdev = (MatrixMdev)device;
        // Whoever opens a device that is not on the list yet has a guest that a queue's probe does not find.
        bool isOfferedFirst = _matrix.Profile.Deviates(task, Quirk.OfferedBeforeListed);
        if (isOfferedFirst)
            await OfferAsync(task, mdev);
        await task.NextStepAsync("put mdev on list");
        await mdev.PublishAsync(task);
        await task.NextStepAsync("offer to VFIO");
        if (!isOfferedFirst)
            await OfferAsync(task, mdev);
        await task.NextStepAsync("add attributes");
        mdev.AddDriverAttributes(task, MdevAttributes.Table);
        return Errno.Ok;
    }

    // An emulated device whose driver has the operations of iommufd is always registered.
    private async ValueTask OfferAsync(KernelTask task, MatrixMdev mdev)
    {
        VfioDevice vfio = new($"vfio_ap_mdev {mdev.Name}", mdev, _matrix.Groups.Create(mdev), mdev.Model.Log, mdev);
        mdev.Vfio = vfio;
        await vfio.OfferAsync(task);
    }

    /// <inheritdoc/>
    public override async ValueTask RemoveAsync(KernelTask task, Device device)
    {
        MatrixMdev mdev = (MatrixMdev)device;
        await mdev.RemoveDriverAttributesAsync(task);
        await task.NextStepAsync("unregister from VFIO");
        VfioDevice vfio = mdev.Vfio;
        await vfio.UnregisterAsync(task);
        await task.NextStepAsync("take mdev off list");
        await mdev.RetireAsync(task);
        _matrix.Groups.Remove(vfio.Group, mdev);
    }
}

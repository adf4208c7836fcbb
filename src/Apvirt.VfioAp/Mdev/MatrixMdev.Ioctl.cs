using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;
using Apvirt.VfioAp.Matrix;

namespace Apvirt.VfioAp.Mdev;

/// <summary>What VFIO_DEVICE_GET_INFO answers.</summary>
/// <param name="Flags">0x21: reset possible, an AP device.</param>
/// <param name="RegionCount">Number of regions.</param>
/// <param name="IrqCount">Number of interrupt indexes.</param>
public readonly record struct VfioDeviceInfo(uint Flags, uint RegionCount, uint IrqCount);

/// <summary>The header of VFIO_DEVICE_SET_IRQS.</summary>
/// <param name="ArgumentSize">argsz.</param>
/// <param name="Flags">Data type and action bits.</param>
/// <param name="Index">Interrupt index.</param>
/// <param name="Start">First subindex.</param>
/// <param name="Count">Number of subindexes.</param>
public readonly record struct VfioIrqSet(uint ArgumentSize, uint Flags, uint Index, uint Start, uint Count)
{
    /// <summary>Flag: the data is an eventfd.</summary>
    public const uint DataEventfd = 1 << 2;

    /// <summary>Flag: the action is to trigger.</summary>
    public const uint ActionTrigger = 1 << 5;

    /// <summary>A well-formed request to register or clear the device-request eventfd.</summary>
    public static VfioIrqSet DeviceRequest => new(HeaderBytes + sizeof(int), DataEventfd | ActionTrigger, 0, 0, 1);

    internal const uint HeaderBytes = 20;
    internal const uint DataBits = 0x7;
    internal const uint ActionBits = 0x38;
}

/// <summary>The ioctls of an open mdev (vfio-ap.md §12); each runs under mdevs_lock from begin to end.</summary>
public sealed partial class MatrixMdev
{
    private const uint DeviceFlagReset = 1 << 0;
    private const uint DeviceFlagAp = 1 << 5;
    private const uint IrqFlagEventfd = 1 << 0;
    private const uint InfoBytes = 16;
    private const uint IrqCount = 1;

    /// <summary>VFIO_DEVICE_GET_INFO.</summary>
    /// <param name="task">The calling task.</param>
    /// <param name="argumentSize">argsz.</param>
    /// <returns>EINVAL if the argument is too small.</returns>
    public async ValueTask<(Errno Error, VfioDeviceInfo Info)> GetInfoAsync(KernelTask task, uint argumentSize)
    {
        (await Owner.LockMdevsAsync(task)).Release();
        return argumentSize < InfoBytes
            ? (Errno.EINVAL, default)
            : (Errno.Ok, new VfioDeviceInfo(DeviceFlagReset | DeviceFlagAp, RegionCount: 0, IrqCount));
    }

    /// <summary>VFIO_DEVICE_GET_IRQ_INFO.</summary>
    /// <param name="task">The calling task.</param>
    /// <param name="argumentSize">argsz.</param>
    /// <param name="index">Interrupt index; 0 is the device request.</param>
    /// <returns>EINVAL for another index or a small argument; else flags and count.</returns>
    public async ValueTask<(Errno Error, uint Flags, uint Count)> GetIrqInfoAsync(KernelTask task, uint argumentSize, uint index)
    {
        (await Owner.LockMdevsAsync(task)).Release();
        return argumentSize < InfoBytes || index >= IrqCount ? (Errno.EINVAL, 0, 0) : (Errno.Ok, IrqFlagEventfd, 1u);
    }

    /// <inheritdoc/>
    public ValueTask<Errno> SetRequestAsync(KernelTask task, Eventfd? eventfd) =>
        SetIrqsAsync(task, VfioIrqSet.DeviceRequest, eventfd is null ? -1 : 0, _ => (Errno.Ok, eventfd));

    /// <summary>VFIO_DEVICE_SET_IRQS: registers, replaces or clears the device-request eventfd.</summary>
    /// <param name="task">The calling task.</param>
    /// <param name="header">The header.</param>
    /// <param name="descriptor">-1 clears; 0 and above is a file descriptor.</param>
    /// <param name="resolve">Finds the eventfd of a descriptor; an error leaves the old one in place.</param>
    /// <returns>EINVAL for a bad header or descriptor, else the resolver's error.</returns>
    public async ValueTask<Errno> SetIrqsAsync(
        KernelTask task, VfioIrqSet header, int descriptor, Func<int, (Errno Error, Eventfd? Eventfd)> resolve)
    {
        MdevsHeld mdevs = await Owner.LockMdevsAsync(task);
        Errno error = SetIrqs(mdevs, header, descriptor, resolve);
        mdevs.Release();
        return error;
    }

    private Errno SetIrqs(MdevsHeld mdevs, VfioIrqSet header, int descriptor, Func<int, (Errno Error, Eventfd? Eventfd)> resolve)
    {
        bool isWellFormed = header.ArgumentSize >= VfioIrqSet.HeaderBytes + sizeof(int)
            && header.Index < IrqCount && header.Start < 1 && header.Count <= 1 && header.Start + header.Count <= 1
            && (header.Flags & ~(VfioIrqSet.DataBits | VfioIrqSet.ActionBits)) == 0;
        if (!isWellFormed
            || (header.Flags & VfioIrqSet.ActionBits) != VfioIrqSet.ActionTrigger
            || (header.Flags & VfioIrqSet.DataBits) != VfioIrqSet.DataEventfd
            || descriptor < -1)
        {
            return Errno.EINVAL;
        }
        if (descriptor == -1)
        {
            _requestTrigger.Write(mdevs.Task, this, VfioApGuards.RequestTrigger, null);
            return Errno.Ok;
        }
        (Errno error, Eventfd? eventfd) = resolve(descriptor);
        if (error == Errno.Ok)
            _requestTrigger.Write(mdevs.Task, this, VfioApGuards.RequestTrigger, eventfd);
        return error;
    }
}

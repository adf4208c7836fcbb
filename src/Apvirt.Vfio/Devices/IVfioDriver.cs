using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;

namespace Apvirt.Vfio.Devices;

/// <summary>What the driver of a VFIO device does for the VFIO core.</summary>
public interface IVfioDriver
{
    /// <summary>The module that the driver is part of; an open device holds it.</summary>
    DriverModule Module { get; }

    /// <summary>First open; dev_set->lock is held and the VM captured.</summary>
    /// <param name="task">The opening task.</param>
    /// <returns>An error fails the open.</returns>
    ValueTask<Errno> OpenDeviceAsync(KernelTask task);

    /// <summary>Last close; dev_set->lock is held.</summary>
    /// <param name="task">The closing task.</param>
    ValueTask CloseDeviceAsync(KernelTask task);

    /// <summary>Whether the driver unpins what is about to be unmapped; one that does not cannot pin.</summary>
    bool HasDmaUnmap => true;

    /// <summary>Whether the driver can be used with an iommufd: it has operations to bind, unbind, attach and detach.</summary>
    bool HasIommufdOperations => true;

    /// <summary>A range is about to be unmapped: every page of it that the device has pinned must be unpinned on return.</summary>
    /// <param name="task">The unmapping task.</param>
    /// <param name="iova">First address.</param>
    /// <param name="length">Number of bytes.</param>
    ValueTask DmaUnmapAsync(KernelTask task, ulong iova, ulong length);

    /// <summary>The VM that the driver holds a reference to beside the one of the open device, for observers (I18); null if none.</summary>
    VirtualMachine? HeldMachine => null;

    /// <summary>VFIO_DEVICE_SET_IRQS for the device request: the eventfd by which user space is asked to let go.</summary>
    /// <param name="task">The task.</param>
    /// <param name="eventfd">The eventfd; null to be asked no more.</param>
    /// <returns>EINVAL if the driver does not ask.</returns>
    ValueTask<Errno> SetRequestAsync(KernelTask task, Eventfd? eventfd) => new(Errno.EINVAL);

    /// <summary>Somebody wants the device gone; user space should let go of it.</summary>
    /// <param name="task">The removing task.</param>
    /// <param name="count">How often this was asked before.</param>
    ValueTask RequestAsync(KernelTask task, int count);
}

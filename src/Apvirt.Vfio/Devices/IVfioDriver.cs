using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Vfio.Devices;

/// <summary>What the driver of a VFIO device does for the VFIO core.</summary>
public interface IVfioDriver
{
    /// <summary>First open; dev_set->lock is held and the VM captured.</summary>
    /// <param name="task">The opening task.</param>
    /// <returns>An error fails the open.</returns>
    ValueTask<Errno> OpenDeviceAsync(KernelTask task);

    /// <summary>Last close; dev_set->lock is held.</summary>
    /// <param name="task">The closing task.</param>
    ValueTask CloseDeviceAsync(KernelTask task);

    /// <summary>A range is about to be unmapped: every page of it that the device has pinned must be unpinned on return.</summary>
    /// <param name="task">The unmapping task.</param>
    /// <param name="iova">First address.</param>
    /// <param name="length">Number of bytes.</param>
    ValueTask DmaUnmapAsync(KernelTask task, ulong iova, ulong length);

    /// <summary>References to the captured VM that the driver holds itself, for observers (I18).</summary>
    int MachineReferences => 0;

    /// <summary>Somebody wants the device gone; user space should let go of it.</summary>
    /// <param name="task">The removing task.</param>
    /// <param name="count">How often this was asked before.</param>
    ValueTask RequestAsync(KernelTask task, int count);
}

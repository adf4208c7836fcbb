using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;

namespace Apvirt.VfioPci.Zpci;

/// <summary>
/// vfio-pci for one function (zpci.md §3, §4). Enabling it for user space includes the association with the VM, if there
/// is one; without, user space drives it alone.
/// </summary>
/// <param name="function">The function; null for a device that is none of zPCI.</param>
/// <param name="hasHooks">Whether KVM has its hooks for zPCI.</param>
public sealed class VfioPciDriver(ZpciFunction? function, bool hasHooks = true) : IVfioDriver
{
    /// <summary>The registered device; to be set before it is offered.</summary>
    public VfioDevice Device { get; set; } = null!;

    /// <summary>Told each step of opening and closing (M103).</summary>
    public Action<string>? Stepped { get; set; }

    /// <inheritdoc/>
    public int MachineReferences => function?.Machine is null ? 0 : 1;

    /// <inheritdoc/>
    public async ValueTask<Errno> OpenDeviceAsync(KernelTask task)
    {
        Stepped?.Invoke("reset function");
        // A machine with support for zPCI has no other functions (M073).
        if (function is null)
            return Errno.ENODEV;
        Errno error = Device.Kvm is not { } machine ? Errno.Ok
            : !hasHooks ? Errno.ENOENT
            : await function.RegisterAsync(task, machine);
        if (error != Errno.Ok)
            return error;
        Stepped?.Invoke("associate");
        if (function.Firmware.Fails(task, ZpciStep.Configure))
        {
            await function.UnregisterAsync(task);
            return Errno.EIO;
        }
        Stepped?.Invoke("initialise configuration");
        return Errno.Ok;
    }

    /// <inheritdoc/>
    public async ValueTask CloseDeviceAsync(KernelTask task)
    {
        Stepped?.Invoke("drop token");
        Stepped?.Invoke("tear down interrupts");
        if (Device.Kvm is not null)
            await function!.UnregisterAsync(task);
        Stepped?.Invoke("dissociate");
        Stepped?.Invoke("restore state and reset");
    }

    /// <inheritdoc/>
    public ValueTask DmaUnmapAsync(KernelTask task, ulong iova, ulong length) => default;

    /// <inheritdoc/>
    public ValueTask RequestAsync(KernelTask task, int count) => default;
}

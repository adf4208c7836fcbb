using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;

namespace Apvirt.VfioPci.Zpci;

/// <summary>
/// What vfio-pci has of one function (zpci.md §3, §4). Enabling it for user space includes the association with the VM, if
/// there is one; without, user space drives it alone.
/// </summary>
/// <remarks>Lock order: dev_set->lock, then kzdev_lock. igate is a leaf.</remarks>
/// <param name="name">Name of the function.</param>
/// <param name="function">The function; null for a device that is none of zPCI.</param>
/// <param name="log">The kernel log.</param>
/// <param name="hasHooks">Whether KVM has its hooks for zPCI.</param>
public sealed class VfioPciDevice(string name, ZpciFunction? function, KernelLog log, bool hasHooks = true) : IVfioDriver
{
    internal static readonly LockClass GateClass = new("igate", LockKind.Mutex);
    private const int RequestLogInterval = 10;

    // igate, a leaf. Guards _request.
    internal KernelMutex Gate { get; } = new(GateClass);

    private Guarded<Eventfd?> _request;

    /// <summary>The registered device; to be set before it is offered.</summary>
    public VfioDevice Device { get; set; } = null!;

    /// <summary>The function; null for a device that is none of zPCI.</summary>
    public ZpciFunction? Function => function;

    /// <summary>The eventfd by which user space is asked to let go, for observers; null if it wants none.</summary>
    public Eventfd? RequestTrigger => _request.Peek;

    /// <summary>Told each step of opening and closing (M103).</summary>
    public Action<string>? Stepped { get; set; }

    /// <inheritdoc/>
    public bool HasDmaUnmap => false;

    /// <inheritdoc/>
    public VirtualMachine? HeldMachine => function?.Machine;

    /// <inheritdoc/>
    public override string ToString() => name;

    /// <summary>What VFIO_DEVICE_GET_INFO tells of the function (zpci.md §7); the handle is that of now, after the open.</summary>
    /// <param name="task">The task.</param>
    /// <returns>Null for a device that is none of zPCI.</returns>
    public ZpciCapabilities? ReadCapabilities(KernelTask task) => function is null ? null : function.Capabilities with { Handle = function.ReadHandle(task) };

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
        await SetRequestAsync(task, null);
    }

    /// <inheritdoc/>
    public ValueTask DmaUnmapAsync(KernelTask task, ulong iova, ulong length) => default;

    /// <inheritdoc/>
    public async ValueTask<Errno> SetRequestAsync(KernelTask task, Eventfd? eventfd)
    {
        await Gate.LockAsync(task);
        _request.Write(task, this, ZpciGuards.Request, eventfd);
        Gate.Unlock(task);
        return Errno.Ok;
    }

    /// <inheritdoc/>
    public async ValueTask RequestAsync(KernelTask task, int count)
    {
        await Gate.LockAsync(task);
        Eventfd? request = _request.Read(task, this, ZpciGuards.Request);
        Gate.Unlock(task);
        request?.Signal();
        if (!log.IsRead)
            return;
        if (request is null && count == 0)
            log.Write(LogLevel.Info, $"vfio-pci {name}", "no device request registered, blocked until released by user");
        else if (request is not null && count % RequestLogInterval == 0)
            log.Write(LogLevel.Info, $"vfio-pci {name}", $"user space asked to release the device (#{count})");
    }
}

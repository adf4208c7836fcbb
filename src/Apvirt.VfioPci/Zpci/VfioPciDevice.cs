using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;

namespace Apvirt.VfioPci.Zpci;

/// <summary>
/// What vfio-pci has of one function (zpci.md §3, §4). Enabling it for user space includes the association with the VM, if
/// there is one; without, user space drives it alone.
/// </summary>
/// <remarks>Lock order: dev_set->lock, then kzdev_lock. igate is a leaf.</remarks>
public sealed class VfioPciDevice : IVfioDriver
{
    internal static readonly LockClass GateClass = new("igate", LockKind.Mutex);
    private const int RequestLogInterval = 10;

    private readonly KernelRuntime _runtime;
    private readonly string _name;
    private readonly KernelLog _log;
    private readonly ZpciHooks _hooks;

    private Guarded<Eventfd?> _request;

    /// <summary>Makes what vfio-pci has of a function; it is not offered yet.</summary>
    /// <param name="runtime">The runtime of those who use it.</param>
    /// <param name="name">Name of the function.</param>
    /// <param name="function">The function; null for a device that is none of zPCI.</param>
    /// <param name="log">The kernel log.</param>
    /// <param name="register">Registers the device that the driver is of.</param>
    /// <param name="module">The driver's module.</param>
    /// <param name="hooks">What there is of KVM's hooks for zPCI.</param>
    public VfioPciDevice(
        KernelRuntime runtime, string name, ZpciFunction? function, KernelLog log, Func<IVfioDriver, VfioDevice> register, DriverModule module, ZpciHooks hooks = ZpciHooks.Present)
    {
        _runtime = runtime;
        _name = name;
        _log = log;
        Module = module;
        _hooks = hooks;
        Function = function;
        Gate = new KernelMutex(GateClass, owner: this);
        Device = register(this);
    }

    /// <inheritdoc/>
    public DriverModule Module { get; }

    // igate, a leaf. Guards _request.
    internal KernelMutex Gate { get; }

    /// <summary>The registered device.</summary>
    public VfioDevice Device { get; }

    /// <summary>The function; null for a device that is none of zPCI.</summary>
    public ZpciFunction? Function { get; }

    /// <summary>The eventfd by which user space is asked to let go, for observers; null if it wants none.</summary>
    public Eventfd? RequestTrigger => _request.Glance(_runtime, this, ZpciGuards.Request);

    /// <summary>Told each step of opening and closing (M103).</summary>
    public Action<string>? Stepped { get; init; }

    /// <inheritdoc/>
    public bool HasDmaUnmap => false;

    /// <inheritdoc/>
    public VirtualMachine? HeldMachine => Function?.Machine;

    /// <inheritdoc/>
    public override string ToString() => _name;

    /// <summary>What VFIO_DEVICE_GET_INFO tells of the function (zpci.md §7); the handle is that of now, after the open.</summary>
    /// <param name="task">The task.</param>
    /// <returns>Null for a device that is none of zPCI, and in a kernel that is built without KVM's support for it (M112).</returns>
    public ZpciCapabilities? ReadCapabilities(KernelTask task) => Function is null || _hooks == ZpciHooks.NotBuilt ? null : Function.Capabilities with { Handle = Function.ReadHandle(task) };

    /// <inheritdoc/>
    public async ValueTask<Errno> OpenDeviceAsync(KernelTask task)
    {
        Stepped?.Invoke("reset function");
        // A machine with support for zPCI has no other functions (M073).
        if (Function is not { } function)
            return Errno.ENODEV;
        Errno error = Device.Kvm is not { } machine || _hooks == ZpciHooks.NotBuilt ? Errno.Ok
            : _hooks == ZpciHooks.Absent ? Errno.ENOENT
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
        if (Device.Kvm is not null && _hooks == ZpciHooks.Present)
            await Function!.UnregisterAsync(task);
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
        if (!_log.IsRead)
            return;
        if (request is null && count == 0)
            _log.Write(LogLevel.Info, $"vfio-pci {_name}", "no device request registered, blocked until released by user");
        else if (request is not null && count % RequestLogInterval == 0)
            _log.Write(LogLevel.Info, $"vfio-pci {_name}", $"user space asked to release the device (#{count})");
    }
}

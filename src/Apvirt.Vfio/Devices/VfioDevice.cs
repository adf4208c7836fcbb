using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;
using Apvirt.Kvm.Machines;

namespace Apvirt.Vfio.Devices;

/// <summary>
/// A device registered with VFIO, of the emulated kind: no DMA of its own, guest pages pinned on demand (vfio.md).
/// The VM is captured at the first open, kept until the last close and given back then (M080, M081).
/// </summary>
/// <remarks>
/// Lifetimes: each open device file holds a registration; <see cref="UnregisterAsync"/> waits for all of them. Lock order:
/// dev_set->lock, then whatever the driver takes at open and close.
/// </remarks>
public sealed class VfioDevice
{
    private static readonly TimeSpan RequestInterval = TimeSpan.FromSeconds(10);
    internal static readonly LockClass SetClass = new("dev_set->lock", LockKind.Mutex);
    private static readonly LockClass LastCloseClass = new("last close", LockKind.Wait);

    private readonly IVfioDriver _driver;
    private readonly KernelLog _log;
    private readonly Completion _unused = new(new Duty(LastCloseClass));
    private int _registrations = 1;
    private bool _isOffered = true;

    // L8. Guards _openCount and _kvm.
    internal KernelMutex SetLock { get; } = new(SetClass);

    private Guarded<int> _openCount;
    private Guarded<VirtualMachine?> _kvm;

    /// <summary>Registers a device.</summary>
    /// <param name="name">Name for reports.</param>
    /// <param name="driver">Its driver.</param>
    /// <param name="group">Its group.</param>
    /// <param name="log">The kernel log.</param>
    public VfioDevice(string name, IVfioDriver driver, VfioGroup group, KernelLog log)
    {
        Name = name;
        _driver = driver;
        Group = group;
        _log = log;
        Pins = new PinnedPages(name);
    }

    /// <summary>Name for reports.</summary>
    public string Name { get; }

    /// <summary>The device's group, which holds nothing else.</summary>
    public VfioGroup Group { get; }

    /// <summary>Number of open device files.</summary>
    public int OpenCount => _openCount.Peek;

    /// <summary>The VM captured at the first open; null if there was none, and while closed.</summary>
    public VirtualMachine? Kvm => _kvm.Peek;

    /// <summary>Guest pages that the device has pinned.</summary>
    public PinnedPages Pins { get; }

    /// <summary>Opens a device file.</summary>
    /// <param name="task">The opening task.</param>
    /// <param name="machine">The VM that is associated with the group, null for none.</param>
    /// <returns>ENODEV if the device is being unregistered, else what the driver answers.</returns>
    public async ValueTask<Errno> OpenAsync(KernelTask task, VirtualMachine? machine)
    {
        Touches(task);
        if (!TryRegister())
            return Errno.ENODEV;
        _unused.Duty!.Begin(task);
        await SetLock.LockAsync(task);
        Errno error = Errno.Ok;
        if (_openCount.Read(task, this, VfioGuards.Opens) == 0)
        {
            VirtualMachine? captured = machine?.TryGet(task) == true ? machine : null;
            _kvm.Write(task, this, VfioGuards.Opens, captured);
            await Pins.OpenAsync(task, captured);
            error = await _driver.OpenDeviceAsync(task);
            if (error != Errno.Ok)
                await ReleaseAsync(task);
        }
        if (error == Errno.Ok)
            _openCount.Change(task, this, VfioGuards.Opens)++;
        SetLock.Unlock(task);
        if (error != Errno.Ok)
            Unregister(task);
        _unused.Duty.End(task);
        return error;
    }

    /// <summary>Closes a device file.</summary>
    /// <param name="task">The closing task.</param>
    public async ValueTask CloseAsync(KernelTask task)
    {
        _unused.Duty!.Begin(task);
        await SetLock.LockAsync(task);
        if (_openCount.Read(task, this, VfioGuards.Opens) == 1)
        {
            await _driver.CloseDeviceAsync(task);
            await ReleaseAsync(task);
        }
        _openCount.Change(task, this, VfioGuards.Opens)--;
        SetLock.Unlock(task);
        Unregister(task);
        _unused.Duty.End(task);
    }

    /// <summary>
    /// Takes the device out of VFIO: no new opens, then waits until every open file is closed, asking user space every
    /// ten seconds. Cannot fail; a signal ends neither the wait nor the asking (vfio.md §2).
    /// </summary>
    /// <param name="task">The removing task.</param>
    public async ValueTask UnregisterAsync(KernelTask task)
    {
        _isOffered = false;
        Unregister(task);
        bool interruptible = true;
        for (int count = 0; !_unused.IsDone; count++)
        {
            await _driver.RequestAsync(task, count);
            WaitResult result = await _unused.WaitAsync(task, RequestInterval, interruptible);
            if (result != WaitResult.Interrupted)
                continue;
            interruptible = false;
            if (_log.IsRead)
                _log.Write(LogLevel.Warning, Name, $"device is still in use, task {task} is blocked until it is released");
        }
    }

    /// <summary>User space unmaps a range: the driver is told if the device has pinned anything.</summary>
    /// <param name="task">The unmapping task.</param>
    /// <param name="iova">First address.</param>
    /// <param name="length">Number of bytes.</param>
    public ValueTask UnmapAsync(KernelTask task, ulong iova, ulong length)
    {
        if (task.HasPoints)
        {
            task.Runtime.Touched($"{VfioGuards.Opens.Field} of {this}", isWrite: false);
            task.Runtime.Touched($"{VfioGuards.Pins.Field} of {Pins}", isWrite: false);
        }
        return OpenCount > 0 && Pins.Count > 0 ? _driver.DmaUnmapAsync(task, iova, length) : default;
    }

    /// <inheritdoc/>
    public override string ToString() => Name;

    private bool TryRegister()
    {
        if (!_isOffered)
            return false;
        Interlocked.Increment(ref _registrations);
        return true;
    }

    // Registrations are counted without a lock.
    private void Touches(KernelTask task)
    {
        if (task.HasPoints)
            task.Runtime.Touched($"registrations of {Name}", isWrite: true);
    }

    private void Unregister(KernelTask task)
    {
        Touches(task);
        if (Interlocked.Decrement(ref _registrations) == 0)
            _unused.CompleteAll();
    }

    private async ValueTask ReleaseAsync(KernelTask task)
    {
        await Pins.CloseAsync(task);
        VirtualMachine? machine = _kvm.Read(task, this, VfioGuards.Opens);
        _kvm.Write(task, this, VfioGuards.Opens, null);
        machine?.Put(task);
    }
}

using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Designs;

/// <summary>Design N: a device is opened while its group's VM is set (M110).</summary>
public sealed class NotifierReplay : Design
{
    private readonly NotifierGroup _group = new();
    private readonly NotifiedFunction _function;

    /// <summary>Makes the model.</summary>
    public NotifierReplay() => _function = new NotifiedFunction(_group);

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        runtime.Spawn("set_kvm", async task => await _group.SetKvmAsync(task, new ModelVm("g")));
        runtime.Spawn("open", async task => await _function.OpenAsync(task));
    }

    /// <inheritdoc/>
    public override void Look() => Require(_function.Registrations == 1, $"delivered {_function.Registrations} times");
}

/// <summary>The final design in its place: the pointer is read at the open, under the lock that guards it, and nothing is delivered (M110).</summary>
public sealed class PointerRead : Design
{
    private readonly KernelMutex _reference = new(Locks.GroupReference);
    private ModelVm? _kvm;
    private int _deliveries;

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        runtime.Spawn("set_kvm", async task =>
        {
            await _reference.LockAsync(task);
            _kvm = new ModelVm("g");
            _reference.Unlock(task);
        });
        runtime.Spawn("open", async task =>
        {
            await _reference.LockAsync(task);
            _deliveries += _kvm is null ? 0 : 1;
            _reference.Unlock(task);
        });
    }

    /// <inheritdoc/>
    public override void Look() => Require(_deliveries <= 1, $"delivered {_deliveries} times");
}

/// <summary>M059: the mediated device of its time, told by the same chain: no VM means to let go of the one there was.</summary>
/// <param name="losesRelease">Whether release checks and clears what it releases in two steps (M090), or in one.</param>
public sealed class NotifiedRelease(bool losesRelease) : Design
{
    private readonly SharedCell<bool> _isReleased = new(false);
    private readonly KernelMutex _once = new(Locks.Released);
    private int _releases;

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        runtime.Spawn("set_kvm(null)", ReleaseAsync);
        runtime.Spawn("close", ReleaseAsync);
    }

    /// <inheritdoc/>
    public override void Look() => Require(_releases == 1, $"released {_releases} times");

    private async ValueTask ReleaseAsync(KernelTask task)
    {
        // An atomic exchange is a read and a write that nobody comes between.
        if (!losesRelease)
            await _once.LockAsync(task);
        bool isReleased = await _isReleased.ReadAsync(task);
        await _isReleased.WriteAsync(task, true);
        if (!losesRelease)
            _once.Unlock(task);
        if (!isReleased)
            _releases++;
    }
}

/// <summary>Design N under the driver's locks: the chain runs whatever its callbacks take under the group's lock.</summary>
/// <param name="opensUnderVm">Whether somebody opens the device while he holds the VM's lock, as user space may make the kernel do.</param>
public sealed class NotifierUnderGroupLock(bool opensUnderVm) : Design
{
    private readonly NotifierGroup _group = new();
    private readonly ModelVm _vm = new("g");

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        runtime.Spawn("set_kvm", async task =>
        {
            await _group.RegisterAsync(task, NotifierKind.Group, NotifierEvents.First, async (caller, vm) =>
            {
                await vm!.Lock.LockAsync(caller);
                vm.Lock.Unlock(caller);
                return Errno.Ok;
            });
            await _group.SetKvmAsync(task, _vm);
        });
        runtime.Spawn("VM's device", async task =>
        {
            if (opensUnderVm)
                await _vm.Lock.LockAsync(task);
            await _group.UnregisterAsync(task, (_, _) => new ValueTask<Errno>(Errno.Ok));
            if (opensUnderVm)
                _vm.Lock.Unlock(task);
        });
    }
}

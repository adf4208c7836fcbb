using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Designs;

/// <summary>Design A (M022): one lock for all of the driver, and the masks' lock on either side of it.</summary>
public sealed class OneLockAndMasks : Design
{
    private readonly KernelMutex _perms = new(Locks.Perms);
    private readonly KernelMutex _matrix = new(Locks.Matrix);

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        runtime.Spawn("mask store", async task =>
        {
            await _perms.LockAsync(task);
            await _matrix.LockAsync(task);
            _matrix.Unlock(task);
            _perms.Unlock(task);
        });
        runtime.Spawn("assign", async task =>
        {
            await _matrix.LockAsync(task);
            await _perms.LockAsync(task);
            _perms.Unlock(task);
            _matrix.Unlock(task);
        });
    }
}

/// <summary>Design A (M033, M034): the lookup needs the driver's lock, plugging needs the VM's, which must come first.</summary>
public sealed class OneLockAndGuest : Design
{
    private readonly KernelMutex _matrix = new(Locks.Matrix);
    private readonly KernelMutex _kvm = new(Locks.Kvm);
    private readonly KernelMutex _vcpu = new(Locks.Vcpu);

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        runtime.Spawn("PQAP(AQIC)", async task =>
        {
            await _vcpu.LockAsync(task);
            await _matrix.LockAsync(task);
            _matrix.Unlock(task);
            _vcpu.Unlock(task);
        });
        runtime.Spawn("secure execution", async task =>
        {
            await _kvm.LockAsync(task);
            await _vcpu.LockAsync(task);
            _vcpu.Unlock(task);
            _kvm.Unlock(task);
        });
        runtime.Spawn("unbind", async task =>
        {
            await _matrix.LockAsync(task);
            await _kvm.LockAsync(task);
            _kvm.Unlock(task);
            _matrix.Unlock(task);
        });
    }
}

/// <summary>The final design of the same callers (M058): one lock before the VM's, another after it.</summary>
/// <param name="interceptionTakesGuests">Whether the interception takes the outer lock, which it must not (M054).</param>
public sealed class Sandwich(bool interceptionTakesGuests = false) : Design
{
    private readonly KernelMutex _guests = new(Locks.Guests);
    private readonly KernelMutex _mdevs = new(Locks.Mdevs);
    private readonly KernelMutex _kvm = new(Locks.Kvm);
    private readonly KernelMutex _vcpu = new(Locks.Vcpu);

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        runtime.Spawn("PQAP(AQIC)", async task =>
        {
            await _vcpu.LockAsync(task);
            if (interceptionTakesGuests)
                await _guests.LockAsync(task);
            await _mdevs.LockAsync(task);
            _mdevs.Unlock(task);
            if (interceptionTakesGuests)
                _guests.Unlock(task);
            _vcpu.Unlock(task);
        });
        runtime.Spawn("secure execution", async task =>
        {
            await _kvm.LockAsync(task);
            await _vcpu.LockAsync(task);
            _vcpu.Unlock(task);
            _kvm.Unlock(task);
        });
        runtime.Spawn("unbind", async task =>
        {
            await _guests.LockAsync(task);
            await _kvm.LockAsync(task);
            await _mdevs.LockAsync(task);
            _mdevs.Unlock(task);
            _kvm.Unlock(task);
            _guests.Unlock(task);
        });
    }
}

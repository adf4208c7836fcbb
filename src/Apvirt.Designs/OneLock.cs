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
        Nest(runtime, "mask store", _perms, _matrix);
        Nest(runtime, "assign", _matrix, _perms);
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
        Nest(runtime, "PQAP(AQIC)", _vcpu, _matrix);
        Nest(runtime, "secure execution", _kvm, _vcpu);
        Nest(runtime, "unbind", _matrix, _kvm);
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
        Nest(runtime, "PQAP(AQIC)", interceptionTakesGuests ? [_vcpu, _guests, _mdevs] : [_vcpu, _mdevs]);
        Nest(runtime, "secure execution", _kvm, _vcpu);
        Nest(runtime, "unbind", _guests, _kvm, _mdevs);
    }
}

/// <summary>Two locks in either order, both times under a third: the validator predicts a deadlock that cannot be.</summary>
public sealed class GatedPair : Design
{
    private readonly KernelMutex _gate = new(Locks.Guests);
    private readonly KernelMutex _kvm = new(Locks.Kvm);
    private readonly KernelMutex _mdevs = new(Locks.Mdevs);

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        Nest(runtime, "one", _gate, _kvm, _mdevs);
        Nest(runtime, "other", _gate, _mdevs, _kvm);
    }
}

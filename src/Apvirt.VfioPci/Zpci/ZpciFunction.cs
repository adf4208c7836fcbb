using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Memory;

namespace Apvirt.VfioPci.Zpci;

/// <summary>
/// A PCI function of the host that a VM may use without it: while it is associated, the firmware has the VM's GISA
/// designation, so that the guest's instructions are interpreted (zpci.md §3, §4).
/// </summary>
/// <remarks>Lock order: dev_set->lock, kzdev_lock, then kvm->lock, aift_lock, gait_lock.</remarks>
public sealed class ZpciFunction : IDmaDevice, IAssociatedFunction
{
    internal static readonly LockClass KzdevClass = new("kzdev_lock", LockKind.Mutex);

    private const int AttemptsMax = 3;

    private readonly KernelRuntime _runtime;
    private readonly AdapterInterruptTable _table;
    private readonly Profile _profile;

    // kzdev_lock, L14, outside kvm->lock. With that it guards _machine, _gisa and _forwarding; reading needs kzdev_lock.
    internal KernelMutex Lock { get; }

    private Guarded<VirtualMachine?> _machine;
    private Guarded<uint> _gisa;
    private Guarded<ForwardingState> _forwarding;

    // Under kzdev_lock: whose the translations are that the firmware should have, null while DMA is blocked; and the VM whose
    // association is being changed, under its lock too.
    private Guarded<object?> _domain;
    private Guarded<VirtualMachine?> _changing;

    /// <summary>Makes a function that the host has enabled.</summary>
    /// <param name="task">The task.</param>
    /// <param name="firmware">Its firmware.</param>
    /// <param name="table">The machine's table of forwarded interrupts.</param>
    /// <param name="profile">Whose quirks apply.</param>
    public ZpciFunction(KernelTask task, ZpciFirmware firmware, AdapterInterruptTable table, Profile profile)
    {
        _runtime = task.Runtime;
        Firmware = firmware;
        Lock = new KernelMutex(KzdevClass, owner: this);
        _table = table;
        _profile = profile;
        _domain = new(HostDomain);
        firmware.Enable(task, gisa: 0);
        firmware.RegisterTranslation(task);
    }

    // Stands for the host's own translations.
    private object HostDomain => this;

    /// <summary>Its firmware.</summary>
    public ZpciFirmware Firmware { get; }

    /// <inheritdoc/>
    public uint ReadHandle(KernelTask task) => Firmware.Handle;

    /// <summary>What user space is told of it; the handle is read when it is asked for.</summary>
    public ZpciCapabilities Capabilities { get; init; }

    /// <summary>The VM that it is associated with, for observers; null if none.</summary>
    public VirtualMachine? Machine => _machine.Glance(_runtime, this, ZpciGuards.Association);

    /// <summary>The designation that the driver has given the firmware, for observers.</summary>
    public uint Gisa => _gisa.Glance(_runtime, this, ZpciGuards.Association);

    /// <summary>What forwarding ties up, for observers.</summary>
    public ForwardingState Forwarded => _forwarding.Glance(_runtime, this, ZpciGuards.Association);

    /// <summary>Whether kzdev_lock is held, for observers.</summary>
    public bool IsChanging => Lock.IsHeld;

    /// <summary>The domain of user space that it is attached to, for observers; null while DMA is blocked, or the host's.</summary>
    public object? Domain => _domain.Glance(_runtime, this, ZpciGuards.Domain) is var domain && domain == HostDomain ? null : domain;

    // The VM whose association is being changed, for the rule of the association.
    internal VirtualMachine? Changing => _changing.Glance(_runtime, this, ZpciGuards.Domain);

    /// <inheritdoc/>
    public override string ToString() => $"function {Firmware.Fid:x}";

    /// <summary>Associates the function with a VM.</summary>
    /// <param name="task">The task.</param>
    /// <param name="machine">The VM.</param>
    /// <returns>EINVAL if it is associated, ENOMEM, EIO of the firmware; all is as before then, but in 6.12 the function may be disabled (F14).</returns>
    public async ValueTask<Errno> RegisterAsync(KernelTask task, VirtualMachine? machine)
    {
        await Lock.LockAsync(task);
        if (_machine.Read(task, this, ZpciGuards.Association) is not null || _gisa.Read(task, this, ZpciGuards.Association) != 0 || machine?.TryGet(task) != true)
        {
            Lock.Unlock(task);
            return Errno.EINVAL;
        }
        await machine.Lock.LockAsync(task);
        SetChanging(task, machine);
        Errno error = Associate(task, machine);
        Leave(task, machine);
        // The reference is given back with no lock held: it may be the last.
        if (error != Errno.Ok)
            machine.Put(task);
        return error;
    }

    /// <summary>Ends the association. Cannot fail: what goes wrong in between is gone on from (M075).</summary>
    /// <param name="task">The task.</param>
    public async ValueTask UnregisterAsync(KernelTask task)
    {
        await Lock.LockAsync(task);
        if (_machine.Read(task, this, ZpciGuards.Association) is not { } machine)
        {
            Lock.Unlock(task);
            return;
        }
        await machine.Lock.LockAsync(task);
        SetChanging(task, machine);
        if (_gisa.Read(task, this, ZpciGuards.Association) != 0)
        {
            // Forwarding must be off before interpretation is.
            await StopForwardingAsync(task, machine, force: true);
            _gisa.Write(task, this, ZpciGuards.Association, 0);
            EndInterpretation(task);
        }
        machine.RemoveFunction(task, this);
        _machine.Write(task, this, ZpciGuards.Association, null);
        Leave(task, machine);
        machine.Put(task);
    }

    /// <summary>KVM_S390_ZPCIOP_REG_AEN for a function that was found on the VM's list: its interrupts go straight to the guest (zpci.md §5).</summary>
    /// <param name="task">The task.</param>
    /// <param name="machine">The VM that asks.</param>
    /// <param name="request">What is asked.</param>
    /// <returns>ENODEV without an association, EPERM for another VM, EINVAL without a designation or if it is on, else what the first failing step answers.</returns>
    internal async ValueTask<Errno> ForwardAsync(KernelTask task, VirtualMachine machine, ForwardingRequest request)
    {
        (Errno error, VirtualMachine? owner) = await EnterAsync(task, machine);
        if (owner is null)
            return error;
        uint gisa = _gisa.Read(task, this, ZpciGuards.Association);
        if (gisa == 0 || _forwarding.Read(task, this, ZpciGuards.Association).IsOn)
        {
            error = Errno.EINVAL;
        }
        else
        {
            (error, ForwardingState state) = await Forwarding.EnableAsync(task, Firmware, _table, owner, gisa, request);
            if (error == Errno.Ok)
                _forwarding.Write(task, this, ZpciGuards.Association, state);
        }
        Leave(task, owner);
        return error;
    }

    /// <summary>KVM_S390_ZPCIOP_DEREG_AEN for a function that was found on the VM's list.</summary>
    /// <param name="task">The task.</param>
    /// <param name="machine">The VM that asks.</param>
    /// <returns>As <see cref="ForwardAsync"/>; EIO of the firmware, and it stays on.</returns>
    internal async ValueTask<Errno> StopForwardingAsync(KernelTask task, VirtualMachine machine)
    {
        (Errno error, VirtualMachine? owner) = await EnterAsync(task, machine);
        if (owner is null)
            return error;
        error = _gisa.Read(task, this, ZpciGuards.Association) == 0 ? Errno.EINVAL : await StopForwardingAsync(task, owner, force: false);
        Leave(task, owner);
        return error;
    }

    /// <summary>The function interrupts whom it is forwarded to.</summary>
    /// <param name="task">The task.</param>
    /// <returns>The VM that was interrupted; null if the interrupt is the host's, or suppressed.</returns>
    public VirtualMachine? Interrupt(KernelTask task)
    {
        // The firmware has the summary bit from the driver, and takes no lock.
        return Firmware.Summary is { } bit ? _table.Deliver(task, bit) : null;
    }

    /// <summary>Attaches the function to an IOMMU domain, in place of the one that it has (vfio.md §9, M095).</summary>
    /// <param name="task">The task.</param>
    /// <param name="domain">The domain.</param>
    /// <returns>EIO if the translations cannot be registered: DMA is blocked then, not attached to the old domain (M096).</returns>
    public async ValueTask<Errno> AttachAsync(KernelTask task, object domain)
    {
        await Lock.LockAsync(task);
        Block(task);
        Errno error = Firmware.RegisterTranslation(task);
        // The host wants its translations back whatever happens: they are registered when the function is enabled next.
        if (error == Errno.Ok || domain == HostDomain)
            _domain.Write(task, this, ZpciGuards.Domain, domain);
        Lock.Unlock(task);
        return error;
    }

    /// <inheritdoc/>
    public async ValueTask BlockAsync(KernelTask task)
    {
        await Lock.LockAsync(task);
        Block(task);
        Lock.Unlock(task);
    }

    /// <inheritdoc/>
    public async ValueTask ReturnAsync(KernelTask task) => await AttachAsync(task, HostDomain);

    /// <summary>Enables or disables the function for the host, which puts it into the configuration or takes it out. Nobody uses it.</summary>
    /// <param name="task">The task.</param>
    /// <param name="isEnabled">Whether it shall be enabled.</param>
    /// <returns>EIO of the firmware.</returns>
    internal async ValueTask<Errno> SetEnabledAsync(KernelTask task, bool isEnabled)
    {
        await Lock.LockAsync(task);
        Errno error = isEnabled == Firmware.IsEnabled ? Errno.Ok
            : isEnabled ? EnableFor(task, gisa: 0)
            : Firmware.Disable(task);
        Lock.Unlock(task);
        return error;
    }

    /// <summary>Disables and enables the function, whatever state it was left in. Nobody uses it.</summary>
    /// <param name="task">The task.</param>
    internal async ValueTask ResetAsync(KernelTask task)
    {
        await SetEnabledAsync(task, isEnabled: false);
        await SetEnabledAsync(task, isEnabled: true);
    }

    private async ValueTask<(Errno Error, VirtualMachine? Owner)> EnterAsync(KernelTask task, VirtualMachine machine)
    {
        await Lock.LockAsync(task);
        VirtualMachine? owner = _machine.Read(task, this, ZpciGuards.Association);
        if (owner != machine)
        {
            Lock.Unlock(task);
            return (owner is null ? Errno.ENODEV : Errno.EPERM, null);
        }
        await owner.Lock.LockAsync(task);
        SetChanging(task, owner);
        return (Errno.Ok, owner);
    }

    private void Leave(KernelTask task, VirtualMachine owner)
    {
        SetChanging(task, null);
        owner.Lock.Unlock(task);
        Lock.Unlock(task);
    }

    private async ValueTask<Errno> StopForwardingAsync(KernelTask task, VirtualMachine owner, bool force)
    {
        Errno error = await Forwarding.DisableAsync(task, Firmware, _table, owner, _forwarding.Read(task, this, ZpciGuards.Association), force);
        if (error == Errno.Ok)
            _forwarding.Write(task, this, ZpciGuards.Association, default);
        return error;
    }

    private Errno Associate(KernelTask task, VirtualMachine machine)
    {
        if (Firmware.Fails(task, ZpciStep.Allocate))
            return Errno.ENOMEM;
        if (Firmware.CanInterpret)
        {
            machine.UseZpci(task);
            if (Firmware.IsEnabled && Firmware.Disable(task) is var disabled && disabled != Errno.Ok)
                return disabled;
            uint gisa = machine.Gisa.ReadDesignation(task);
            Errno error = EnableFor(task, gisa);
            if (error != Errno.Ok)
            {
                // F14: 6.12 leaves the function disabled.
                if (!_profile.Deviates(task, Quirk.FunctionLeftBehind))
                    ReturnToHost(task, AttemptsMax);
                return error;
            }
            _gisa.Write(task, this, ZpciGuards.Association, gisa);
        }
        machine.AddFunction(task, this);
        _machine.Write(task, this, ZpciGuards.Association, machine);
        return Errno.Ok;
    }

    // F14: if the function cannot be disabled, 6.12 leaves the guest's designation with the firmware.
    private void EndInterpretation(KernelTask task)
    {
        Errno error = Firmware.IsEnabled ? Firmware.Disable(task) : Errno.Ok;
        if (error == Errno.EIO && !_profile.Deviates(task, Quirk.FunctionLeftBehind))
            error = Firmware.Disable(task);
        if (error != Errno.Ok)
            return;
        if (EnableFor(task, gisa: 0) != Errno.Ok && !_profile.Deviates(task, Quirk.FunctionLeftBehind))
            ReturnToHost(task, AttemptsMax - 1);
    }

    // Tried a few times: nobody but the host is left to care.
    private void ReturnToHost(KernelTask task, int attempts)
    {
        for (int attempt = 0; attempt < attempts && EnableFor(task, gisa: 0) != Errno.Ok; attempt++)
        {
        }
    }

    // Enabled with its translations, or not at all.
    private Errno EnableFor(KernelTask task, uint gisa)
    {
        Errno error = Firmware.Enable(task, gisa);
        if (error == Errno.Ok && _domain.Read(task, this, ZpciGuards.Domain) is not null)
            error = Firmware.RegisterTranslation(task);
        if (error != Errno.Ok && Firmware.IsEnabled)
            Firmware.Disable(task);
        return error;
    }

    private void Block(KernelTask task)
    {
        if (Firmware.Translations > 0)
            Firmware.UnregisterTranslation(task);
        _domain.Write(task, this, ZpciGuards.Domain, null);
    }

    private void SetChanging(KernelTask task, VirtualMachine? machine) => _changing.Write(task, this, ZpciGuards.Domain, machine);
}

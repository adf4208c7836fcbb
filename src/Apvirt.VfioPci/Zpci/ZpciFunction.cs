using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;

namespace Apvirt.VfioPci.Zpci;

/// <summary>
/// A PCI function of the host that a VM may use without it: while it is associated, the firmware has the VM's GISA
/// designation, so that the guest's instructions are interpreted (zpci.md §3, §4).
/// </summary>
/// <remarks>Lock order: dev_set->lock, kzdev_lock, then kvm->lock.</remarks>
public sealed class ZpciFunction
{
    internal static readonly LockClass KzdevClass = new("kzdev_lock", LockKind.Mutex);

    private readonly bool _canInterpret;

    // kzdev_lock, L14, outside kvm->lock. With that it guards _machine and _gisa; reading needs kzdev_lock.
    internal KernelMutex Lock { get; } = new(KzdevClass);

    private Guarded<VirtualMachine?> _machine;
    private Guarded<uint> _gisa;
    private Guarded<ForwardingState> _forwarding;

    // The table that forwarding was turned on in.
    private AdapterInterruptTable? _table;

    // Attached to an IOMMU domain, and to which.
    private object? _domain;

    /// <summary>Makes a function that the host has enabled.</summary>
    /// <param name="task">The task.</param>
    /// <param name="firmware">Its firmware.</param>
    /// <param name="canInterpret">Whether the machine can interpret a guest's instructions.</param>
    public ZpciFunction(KernelTask task, ZpciFirmware firmware, bool canInterpret = true)
    {
        Firmware = firmware;
        _canInterpret = canInterpret;
        firmware.Enable(task, gisa: 0);
        firmware.RegisterTranslation(task);
    }

    /// <summary>Its firmware.</summary>
    public ZpciFirmware Firmware { get; }

    /// <summary>The VM that it is associated with, for observers; null if none.</summary>
    public VirtualMachine? Machine => _machine.Peek;

    /// <summary>The designation that the driver has given the firmware, for observers.</summary>
    public uint Gisa => _gisa.Peek;

    // The VM whose association is being changed, under both locks.
    internal VirtualMachine? Changing { get; private set; }

    /// <inheritdoc/>
    public override string ToString() => $"function {Firmware.Fid:x}";

    /// <summary>Associates the function with a VM.</summary>
    /// <param name="task">The task.</param>
    /// <param name="machine">The VM.</param>
    /// <returns>EINVAL if it is associated, ENOMEM, EIO of the firmware; all is as before then, but the function may be disabled.</returns>
    public async ValueTask<Errno> RegisterAsync(KernelTask task, VirtualMachine? machine)
    {
        await Lock.LockAsync(task);
        if (_machine.Read(task, this, ZpciGuards.Association) is not null || _gisa.Read(task, this, ZpciGuards.Association) != 0 || machine?.TryGet(task) != true)
        {
            Lock.Unlock(task);
            return Errno.EINVAL;
        }
        await machine.Lock.LockAsync(task);
        Changing = machine;
        Errno error = Associate(task, machine);
        Changing = null;
        machine.Lock.Unlock(task);
        Lock.Unlock(task);
        // The reference is given back with no lock held: it may be the last.
        if (error != Errno.Ok)
            machine.Put(task);
        return error;
    }

    /// <summary>What forwarding ties up, for observers.</summary>
    public ForwardingState Forwarded => _forwarding.Peek;

    /// <summary>KVM_S390_ZPCIOP_REG_AEN: the function's interrupts go straight to the guest (zpci.md §5).</summary>
    /// <param name="task">The task.</param>
    /// <param name="machine">The VM that asks.</param>
    /// <param name="handle">The handle that user space knows the function by; it changes with each enabling.</param>
    /// <param name="table">The machine's table.</param>
    /// <param name="request">What is asked.</param>
    /// <param name="pagesMax">Pages of the guest that may be pinned yet.</param>
    /// <returns>ENODEV for another handle or without an association, EPERM for another VM, EINVAL without a designation or if it is on, else what the first failing step answers.</returns>
    public async ValueTask<Errno> ForwardAsync(
        KernelTask task, VirtualMachine machine, uint handle, AdapterInterruptTable table, ForwardingRequest request, int pagesMax = int.MaxValue)
    {
        (Errno error, VirtualMachine? owner) = await EnterAsync(task, machine, handle);
        if (owner is null)
            return error;
        uint gisa = _gisa.Read(task, this, ZpciGuards.Association);
        if (gisa == 0 || _forwarding.Read(task, this, ZpciGuards.Association).IsOn)
        {
            error = Errno.EINVAL;
        }
        else
        {
            (error, ForwardingState state) = await Forwarding.EnableAsync(task, Firmware, table, owner, gisa, request, pagesMax);
            if (error == Errno.Ok)
            {
                _forwarding.Write(task, this, ZpciGuards.Association, state);
                _table = table;
            }
        }
        Leave(task, owner);
        return error;
    }

    /// <summary>KVM_S390_ZPCIOP_DEREG_AEN: the function's interrupts do not go to the guest any more.</summary>
    /// <param name="task">The task.</param>
    /// <param name="machine">The VM that asks.</param>
    /// <param name="handle">The handle that user space knows the function by.</param>
    /// <returns>As <see cref="ForwardAsync"/>; EIO of the firmware, and it stays on.</returns>
    public async ValueTask<Errno> StopForwardingAsync(KernelTask task, VirtualMachine machine, uint handle)
    {
        (Errno error, VirtualMachine? owner) = await EnterAsync(task, machine, handle);
        if (owner is null)
            return error;
        error = _gisa.Read(task, this, ZpciGuards.Association) == 0 ? Errno.EINVAL : await StopForwardingAsync(task, owner, force: false);
        Leave(task, owner);
        return error;
    }

    private async ValueTask<(Errno Error, VirtualMachine? Owner)> EnterAsync(KernelTask task, VirtualMachine machine, uint handle)
    {
        if (handle != Firmware.Handle)
            return (Errno.ENODEV, null);
        await Lock.LockAsync(task);
        VirtualMachine? owner = _machine.Read(task, this, ZpciGuards.Association);
        if (owner != machine)
        {
            Lock.Unlock(task);
            return (owner is null ? Errno.ENODEV : Errno.EPERM, null);
        }
        await owner.Lock.LockAsync(task);
        Changing = owner;
        return (Errno.Ok, owner);
    }

    private void Leave(KernelTask task, VirtualMachine owner)
    {
        Changing = null;
        owner.Lock.Unlock(task);
        Lock.Unlock(task);
    }

    private async ValueTask<Errno> StopForwardingAsync(KernelTask task, VirtualMachine owner, bool force)
    {
        if (_table is null)
            return Errno.Ok;
        Errno error = await Forwarding.DisableAsync(task, Firmware, _table, owner, _forwarding.Read(task, this, ZpciGuards.Association), force);
        if (error != Errno.Ok)
            return error;
        _forwarding.Write(task, this, ZpciGuards.Association, default);
        _table = null;
        return Errno.Ok;
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
        Changing = machine;
        if (_gisa.Read(task, this, ZpciGuards.Association) != 0)
        {
            // Forwarding must be off before interpretation is.
            await StopForwardingAsync(task, machine, force: true);
            _gisa.Write(task, this, ZpciGuards.Association, 0);
            if (Firmware.IsEnabled && Firmware.Disable(task) == Errno.Ok && Firmware.Enable(task, gisa: 0) == Errno.Ok)
                Firmware.RegisterTranslation(task);
        }
        _machine.Write(task, this, ZpciGuards.Association, null);
        Changing = null;
        machine.Lock.Unlock(task);
        Lock.Unlock(task);
        machine.Put(task);
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
        if (error == Errno.Ok)
            _domain = domain;
        Lock.Unlock(task);
        return error;
    }

    /// <summary>Detaches it: DMA is blocked.</summary>
    /// <param name="task">The task.</param>
    public async ValueTask DetachAsync(KernelTask task)
    {
        await Lock.LockAsync(task);
        Block(task);
        Lock.Unlock(task);
    }

    /// <summary>The domain that it is attached to; null while DMA is blocked, or the host's own.</summary>
    public object? Domain => _domain;

    private void Block(KernelTask task)
    {
        if (Firmware.Translations > 0)
            Firmware.UnregisterTranslation(task);
        _domain = null;
    }

    private Errno Associate(KernelTask task, VirtualMachine machine)
    {
        if (Firmware.Fails(task, ZpciStep.Allocate))
            return Errno.ENOMEM;
        if (_canInterpret)
        {
            if (Firmware.IsEnabled && Firmware.Disable(task) is var disabled && disabled != Errno.Ok)
                return disabled;
            uint gisa = machine.Gisa.Designation;
            Errno error = Firmware.Enable(task, gisa);
            if (error == Errno.Ok)
                error = Firmware.RegisterTranslation(task);
            if (error != Errno.Ok)
            {
                if (Firmware.IsEnabled)
                    Firmware.Disable(task);
                return error;
            }
            _gisa.Write(task, this, ZpciGuards.Association, gisa);
        }
        _machine.Write(task, this, ZpciGuards.Association, machine);
        return Errno.Ok;
    }
}

using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;

namespace Apvirt.VfioPci.Zpci;

/// <summary>What user space asks of KVM_S390_ZPCIOP_REG_AEN.</summary>
/// <param name="Vector">Guest address of the interrupt bit vector.</param>
/// <param name="Subclass">The guest's interruption subclass.</param>
/// <param name="Interrupts">Number of interrupts.</param>
/// <param name="Summary">Guest address of the summary byte; 0 for none.</param>
/// <param name="ThroughHost">Whether every interrupt is to go through the host.</param>
public readonly record struct ForwardingRequest(ulong Vector, int Subclass, int Interrupts, ulong Summary = 0, bool ThroughHost = false);

/// <summary>What forwarding ties up for a function.</summary>
/// <param name="Vector">Guest address of the vector; 0 while it is off.</param>
/// <param name="Subclass">The guest's interruption subclass.</param>
/// <param name="Bit">The summary bit.</param>
/// <param name="Pages">Pinned pages of the guest.</param>
public readonly record struct ForwardingState(ulong Vector, int Subclass, int Bit, int Pages)
{
    /// <summary>Whether it is on.</summary>
    public bool IsOn => Vector != 0;
}

/// <summary>
/// Adapter interrupts of a function straight to its guest (zpci.md §5). Every step that fails takes back what was done
/// before it, in the reverse order.
/// </summary>
internal static class Forwarding
{
    private const ulong PageMask = 0xfff;
    private const int BitsOfByte = 8;

    /// <summary>Turns it on, with kzdev_lock and kvm->lock held.</summary>
    /// <returns>EINVAL without a designation or if it is on, ENODEV and ERANGE of the GISA, EIO for memory that is not there, ENOMEM beyond the limit of locked pages or without a free bit, EIO of the firmware.</returns>
    internal static async ValueTask<(Errno Error, ForwardingState State)> EnableAsync(
        KernelTask task, ZpciFirmware firmware, AdapterInterruptTable table, VirtualMachine machine, uint gisa, ForwardingRequest request)
    {
        request = request with { Interrupts = Math.Min(request.Interrupts, firmware.InterruptsMax) };
        Errno error = machine.Gisa.Register(task, request.Subclass, out _);
        if (error != Errno.Ok)
            return (error, default);
        int pages = 0;
        error = PinPages(machine, request, ref pages);
        if (error == Errno.Ok)
            error = machine.LockPages(task, pages);
        if (error == Errno.Ok)
        {
            (error, int bit) = await EnterAsync(task, firmware, table, machine, gisa, request);
            if (error == Errno.Ok)
                return (Errno.Ok, new ForwardingState(request.Vector, request.Subclass, bit, pages));
            machine.LockPages(task, -pages);
        }
        machine.Gisa.Unregister(task, request.Subclass);
        return (error, default);
    }

    /// <summary>Turns it off, with kzdev_lock and kvm->lock held.</summary>
    /// <param name="task">The task.</param>
    /// <param name="firmware">The function's firmware.</param>
    /// <param name="table">The table.</param>
    /// <param name="machine">The VM.</param>
    /// <param name="state">What it ties up.</param>
    /// <param name="force">Whether it goes off whatever the firmware answers.</param>
    /// <returns>EIO of the firmware; it stays on then.</returns>
    internal static async ValueTask<Errno> DisableAsync(
        KernelTask task, ZpciFirmware firmware, AdapterInterruptTable table, VirtualMachine machine, ForwardingState state, bool force)
    {
        await table.Lock.LockAsync(task);
        if (firmware.DeregisterInterrupts(task, force) != Errno.Ok)
        {
            table.Lock.Unlock(task);
            return Errno.EIO;
        }
        if (state.IsOn)
        {
            table.Set(task, state.Bit, default);
            table.Free(task, state.Bit);
        }
        table.Lock.Unlock(task);
        if (state.IsOn)
        {
            machine.Gisa.Unregister(task, state.Subclass);
            machine.LockPages(task, -state.Pages);
        }
        return Errno.Ok;
    }

    private static Errno PinPages(VirtualMachine machine, in ForwardingRequest request, ref int pages)
    {
        ulong bytes = (ulong)(request.Interrupts + BitsOfByte - 1) / BitsOfByte;
        if ((request.Vector & PageMask) + bytes > PageMask + 1)
            return Errno.EINVAL;
        if (request.Vector == 0 || !machine.IsBacked(request.Vector))
            return Errno.EIO;
        pages++;
        if (request.Summary == 0)
            return Errno.Ok;
        if (request.Summary % sizeof(ulong) != 0)
            return Errno.EINVAL;
        if (!machine.IsBacked(request.Summary))
            return Errno.EIO;
        pages++;
        return Errno.Ok;
    }

    private static async ValueTask<(Errno Error, int Bit)> EnterAsync(
        KernelTask task, ZpciFirmware firmware, AdapterInterruptTable table, VirtualMachine machine, uint gisa, ForwardingRequest request)
    {
        await table.Lock.LockAsync(task);
        int bit = firmware.Fails(task, ZpciStep.AllocateBit) ? -1 : table.Take(task);
        Errno error = bit < 0 ? Errno.ENOMEM : Errno.Ok;
        if (error == Errno.Ok && firmware.Fails(task, ZpciStep.AllocateVector))
            error = Errno.ENOMEM;
        if (error == Errno.Ok)
        {
            table.Set(task, bit, new ForwardingEntry(machine, request.ThroughHost ? 0 : gisa, request.Subclass, Count: 1));
            error = firmware.RegisterInterrupts(task, bit);
            if (error != Errno.Ok)
                table.Set(task, bit, default);
        }
        if (error != Errno.Ok && bit >= 0)
            table.Free(task, bit);
        table.Lock.Unlock(task);
        return (error, bit);
    }
}

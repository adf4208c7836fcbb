using System.Collections.Immutable;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;

namespace Apvirt.Kvm.Protection;

/// <summary>A command of KVM_S390_PV_COMMAND (kvm.md §7).</summary>
public enum PvCommand
{
    /// <summary>Makes the guest secure.</summary>
    Enable,
    /// <summary>Makes it an ordinary one again.</summary>
    Disable,
    /// <summary>Sets the secure VM aside, to be destroyed later.</summary>
    AsyncPrepare,
    /// <summary>Destroys what was set aside.</summary>
    AsyncPerform,
    /// <summary>Hands over the header of the secure image.</summary>
    SetSecParms,
    /// <summary>Decrypts pages of the image.</summary>
    Unpack,
    /// <summary>Verifies the image.</summary>
    Verify,
    /// <summary>Prepares a reset of the guest.</summary>
    PrepReset,
    /// <summary>Takes all sharing of pages back.</summary>
    UnshareAll,
    /// <summary>Dumps the guest, encrypted.</summary>
    Dump,
}

/// <summary>What a VM has of secure execution.</summary>
/// <param name="IsProtected">Whether it is a secure VM.</param>
/// <param name="HasExtendedSca">Whether its system control area is extended, which is never undone.</param>
/// <param name="MasksServiceSignals">Whether service interrupts are masked, as a secure guest needs.</param>
/// <param name="SetAside">Secure VMs set aside and not destroyed, 0 or 1.</param>
/// <param name="Leftovers">Secure VMs whose destruction was interrupted.</param>
public readonly record struct SecureState(bool IsProtected, bool HasExtendedSca, bool MasksServiceSignals, int SetAside, int Leftovers);

/// <summary>
/// Secure execution of one VM. Whether the VM is protected may only be asked under kvm->lock, whether a vCPU is under its
/// mutex (I40).
/// </summary>
/// <remarks>Lock order: kvm->lock, then slots_lock, or each vcpu->mutex, one after another.</remarks>
public sealed class SecureExecution
{
    private const int PageShift = 12;

    internal static readonly LockClass SlotsClass = new("slots_lock", LockKind.Mutex);

    private readonly VirtualMachine _machine;
    private readonly Ultravisor? _ultravisor;

    // L31, inside kvm->lock. Guards nothing of ours: the memory of the secure VM is laid out under it.
    private readonly KernelMutex _slots;

    // Guarded by kvm->lock.
    private Guarded<SecureState> _state;
    private Guarded<bool> _isChangingVcpus;

    // The ultravisor's book of pages.
    private readonly SharedState<PageBook> _pages;

    // Whether pages are shared, and which are otherwise.
    private readonly record struct PageBook(bool AreShared, ImmutableHashSet<ulong> Exceptions);

    internal SecureExecution(VirtualMachine machine, Ultravisor? ultravisor)
    {
        _machine = machine;
        _ultravisor = ultravisor;
        _slots = new KernelMutex(SlotsClass, owner: this);
        _pages = new SharedState<PageBook>(this, KvmFields.SharedPages, new PageBook(AreShared: true, []));
    }

    /// <summary>The state, for observers.</summary>
    public SecureState State => _state.Glance(_machine.Runtime, _machine, KvmGuards.SecureState);

    /// <summary>Whether vCPUs are being changed one after another, so that they differ, for observers (I43).</summary>
    public bool IsChangingVcpus => _isChangingVcpus.Glance(_machine.Runtime, _machine, KvmGuards.SecureState);

    /// <inheritdoc/>
    public override string ToString() => $"pv of {_machine}";

    /// <summary>Whether the VM is protected.</summary>
    /// <param name="task">The task, which holds kvm->lock.</param>
    public bool IsProtected(KernelTask task) => Read(task).IsProtected;

    /// <summary>Whether a secure guest shares a page with the host, as it must for a notification byte (kvm.md §6). Guests share theirs unless they say otherwise.</summary>
    /// <param name="task">The task.</param>
    /// <param name="address">An address in the page.</param>
    public bool IsShared(KernelTask task, ulong address)
    {
        ulong page = address >> PageShift;
        using SharedState<PageBook>.Section section = _pages.Enter(task.Runtime, page, AccessKind.Read);
        return section.Value.AreShared != section.Value.Exceptions.Contains(page);
    }

    /// <summary>The guest shares a page with the host, or takes it back. The guest's own instruction: no lock of the host is involved.</summary>
    /// <param name="task">The task.</param>
    /// <param name="address">An address in the page.</param>
    /// <param name="isShared">Whether it is shared from now on.</param>
    public void Share(KernelTask task, ulong address, bool isShared)
    {
        ulong page = address >> PageShift;
        using SharedState<PageBook>.Section section = _pages.Enter(task.Runtime, page, AccessKind.Write);
        ref PageBook book = ref section.Value;
        book = book with { Exceptions = isShared == book.AreShared ? book.Exceptions.Remove(page) : book.Exceptions.Add(page) };
    }

    /// <summary>Runs a command.</summary>
    /// <param name="task">The task; it holds nothing.</param>
    /// <param name="command">The command.</param>
    /// <param name="flags">Its flags; there are none.</param>
    /// <param name="profile">Whose quirks apply.</param>
    /// <param name="isInterrupted">Whether a signal interrupts the destruction of what was set aside.</param>
    /// <returns>
    /// EINVAL for flags, without an ultravisor, or if the VM is not as the command needs it; ENOMEM and EIO of the
    /// ultravisor; ENOTTY for a command that there is not.
    /// </returns>
    public async ValueTask<Errno> RunAsync(KernelTask task, PvCommand command, uint flags, Profile profile, bool isInterrupted = false)
    {
        if (_ultravisor is null || flags != 0)
            return Errno.EINVAL;
        if (command == PvCommand.AsyncPerform)
            return await PerformAsync(task, isInterrupted);
        await _machine.Lock.LockAsync(task);
        Errno error = command switch
        {
            PvCommand.Enable => await EnableAsync(task, profile),
            PvCommand.Disable => await DisableAsync(task, profile),
            PvCommand.AsyncPrepare => await PrepareAsync(task, profile),
            PvCommand.UnshareAll => IsProtected(task) ? UnshareAll(task) : Errno.EINVAL,
            PvCommand.SetSecParms or PvCommand.Unpack or PvCommand.Verify or PvCommand.PrepReset or PvCommand.Dump =>
                IsProtected(task) ? Errno.Ok : Errno.EINVAL,
            _ => Errno.ENOTTY,
        };
        _machine.Lock.Unlock(task);
        return error;
    }

    /// <summary>The VM ends, and nobody else can reach it: its vCPUs and what is left of it go without kvm->lock.</summary>
    internal void End(KernelTask task)
    {
        if (_ultravisor is null)
            return;
        SecureState state = State;
        _ultravisor.Forget(task, _machine.Vcpus.Count(vcpu => vcpu.IsSecure));
        _ultravisor.DestroyVms(task, (state.IsProtected ? 1 : 0) + state.SetAside + state.Leftovers);
    }

    private Errno UnshareAll(KernelTask task)
    {
        using SharedState<PageBook>.Section section = _pages.Enter(task.Runtime, AccessKind.Write);
        section.Value = new PageBook(AreShared: false, []);
        return Errno.Ok;
    }

    private ref readonly SecureState Read(KernelTask task) => ref _state.Read(task, _machine, KvmGuards.SecureState);

    private void Write(KernelTask task, in SecureState state) => _state.Write(task, _machine, KvmGuards.SecureState, state);

    private async ValueTask<Errno> EnableAsync(KernelTask task, Profile profile)
    {
        if (IsProtected(task))
            return Errno.EINVAL;
        SecureState before = Read(task);
        Write(task, before with { HasExtendedSca = true });
        await _slots.LockAsync(task);
        Errno error = _ultravisor!.CreateVm(task);
        _slots.Unlock(task);
        if (error != Errno.Ok)
        {
            if (!profile.Deviates(task, Quirk.EnableFailureLeavesTraces))
                Write(task, before);
            return error;
        }
        Write(task, Read(task) with { IsProtected = true });
        error = await ToSecureAsync(task, profile);
        if (error == Errno.Ok || profile.Has(Quirk.EnableFailureLeavesTraces))
            Write(task, Read(task) with { MasksServiceSignals = true });
        if (error == Errno.Ok)
            return Errno.Ok;
        _ultravisor.DestroyVms(task, 1);
        Write(task, profile.Deviates(task, Quirk.EnableFailureLeavesTraces) ? Read(task) with { IsProtected = false } : before);
        return error;
    }

    private async ValueTask<Errno> DisableAsync(KernelTask task, Profile profile)
    {
        if (!IsProtected(task))
            return Errno.EINVAL;
        if (await FromSecureAsync(task, profile) != Errno.Ok)
            return Errno.EIO;
        SecureState state = Read(task);
        _ultravisor!.DestroyVms(task, 1 + state.SetAside + state.Leftovers);
        Write(task, state with { IsProtected = false, MasksServiceSignals = false, SetAside = 0, Leftovers = 0 });
        return Errno.Ok;
    }

    private async ValueTask<Errno> PrepareAsync(KernelTask task, Profile profile)
    {
        if (!IsProtected(task) || Read(task).SetAside > 0)
            return Errno.EINVAL;
        if (await FromSecureAsync(task, profile) != Errno.Ok)
            return Errno.EIO;
        Write(task, Read(task) with { IsProtected = false, MasksServiceSignals = false, SetAside = 1 });
        return Errno.Ok;
    }

    // Destroying takes long, so it is done without kvm->lock; a signal puts it back for later.
    private async ValueTask<Errno> PerformAsync(KernelTask task, bool isInterrupted)
    {
        await _machine.Lock.LockAsync(task);
        SecureState state = Read(task);
        int taken = state.SetAside;
        if (taken > 0)
            Write(task, state with { SetAside = 0 });
        _machine.Lock.Unlock(task);
        if (taken == 0)
            return Errno.EINVAL;
        if (!isInterrupted)
        {
            _ultravisor!.DestroyVms(task, taken);
            return Errno.Ok;
        }
        await _machine.Lock.LockAsync(task);
        state = Read(task);
        Write(task, state with { Leftovers = state.Leftovers + taken });
        _machine.Lock.Unlock(task);
        return Errno.Ok;
    }

    private async ValueTask<Errno> ToSecureAsync(KernelTask task, Profile profile)
    {
        if (!_ultravisor!.HasAiv)
            await DisableGisaAsync(task, profile);
        Errno error = Errno.Ok;
        foreach (Vcpu vcpu in _machine.Vcpus)
        {
            await vcpu.Mutex.LockAsync(task);
            error = _ultravisor.CreateCpu(task);
            vcpu.SetSecure(task, error == Errno.Ok);
            vcpu.Mutex.Unlock(task);
            if (error != Errno.Ok)
                break;
        }
        if (error != Errno.Ok)
            await FromSecureAsync(task, profile);
        return error;
    }

    private async ValueTask<Errno> FromSecureAsync(KernelTask task, Profile profile)
    {
        Errno result = Errno.Ok;
        foreach (Vcpu vcpu in _machine.Vcpus)
        {
            await vcpu.Mutex.LockAsync(task);
            if (vcpu.ReadSecure(task))
            {
                Errno error = _ultravisor!.DestroyCpu(task);
                vcpu.SetSecure(task, error != Errno.Ok);
                result = error == Errno.Ok ? result : Errno.EIO;
            }
            vcpu.Mutex.Unlock(task);
        }
        await EnableGisaAsync(task, profile);
        return result;
    }

    // Only under kvm->lock: the GISA comes and goes with secure execution alone.
    private async ValueTask DisableGisaAsync(KernelTask task, Profile profile)
    {
        if (!_machine.Gisa.ReadExists(task))
            return;
        SetChanging(task, isChanging: true);
        await SetAivAsync(task, isActive: false);
        _machine.Gisa.Destroy(task);
        SetChanging(task, isChanging: false);
    }

    private async ValueTask EnableGisaAsync(KernelTask task, Profile profile)
    {
        if (!_machine.Gisa.IsPossible || _machine.Gisa.ReadExists(task))
            return;
        SetChanging(task, isChanging: true);
        _machine.Gisa.Initialise(task, profile);
        await SetAivAsync(task, isActive: true);
        SetChanging(task, isChanging: false);
    }

    private void SetChanging(KernelTask task, bool isChanging) => _isChangingVcpus.Write(task, _machine, KvmGuards.SecureState, isChanging);

    private async ValueTask SetAivAsync(KernelTask task, bool isActive)
    {
        foreach (Vcpu vcpu in _machine.Vcpus)
        {
            await vcpu.Mutex.LockAsync(task);
            vcpu.SetAiv(task, isActive);
            vcpu.Mutex.Unlock(task);
        }
    }
}

using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Crypto;
using Apvirt.Kvm.Machines;

namespace Apvirt.Kvm.Interception;

/// <summary>
/// The AP instructions as a vCPU has them: the hardware seen through the guest's control block, AQIC intercepted
/// (kvm.md §4). A guest's own AP bus runs on this.
/// </summary>
public sealed class GuestInstructions : IApInstructions
{
    private readonly Vcpu _vcpu;
    private readonly IApInstructions _hardware;
    private readonly Profile _profile;
    private readonly KernelRuntime _runtime;

    /// <summary>Makes the view of a vCPU.</summary>
    /// <param name="vcpu">The vCPU.</param>
    /// <param name="hardware">The hardware's instructions, issued by a guest.</param>
    /// <param name="profile">Whose quirks apply.</param>
    /// <param name="runtime">The runtime of those who change the control block.</param>
    public GuestInstructions(Vcpu vcpu, IApInstructions hardware, Profile profile, KernelRuntime runtime)
    {
        _runtime = runtime;
        _vcpu = vcpu;
        _hardware = hardware;
        _profile = profile;
    }

    /// <inheritdoc/>
    public bool IsAvailable => _vcpu.IsInterpretingAp;

    /// <inheritdoc/>
    public bool TryQueryConfiguration(out QciInfo info)
    {
        info = QciInfo.Empty;
        if (!IsAvailable || !_hardware.TryQueryConfiguration(out QciInfo host))
            return false;
        info = InSie((self: this, host), static s => s.host with
        {
            Apm = s.host.Apm & s.self.Apcb.Apm,
            Aqm = s.host.Aqm & s.self.Apcb.Aqm,
            Adm = s.host.Adm & s.self.Apcb.Adm,
        });
        return true;
    }

    /// <inheritdoc/>
    public ApStatus Tapq(Apqn apqn) => Run(apqn, static (hardware, q) => hardware.Tapq(q));

    /// <inheritdoc/>
    public ApStatus Tapq(Apqn apqn, out ApQueueInfo info)
    {
        (ApStatus status, info) = InSie((This: this, apqn), static s =>
        {
            ApQueueInfo about = default;
            ApStatus answer = s.This.Reaches(s.apqn) ? s.This._hardware.Tapq(s.apqn, out about) : ApResponse.NotAvailable;
            return (answer, about);
        });
        return status;
    }

    /// <inheritdoc/>
    public int CompatibleType(Apqn apqn, ApQueueInfo info) => _hardware.CompatibleType(apqn, info);

    /// <inheritdoc/>
    public ApStatus Rapq(Apqn apqn) => Run(apqn, static (hardware, q) => hardware.Rapq(q));

    /// <inheritdoc/>
    public ApStatus Zapq(Apqn apqn) => Run(apqn, static (hardware, q) => hardware.Zapq(q));

    /// <inheritdoc/>
    public async ValueTask<ApStatus> AqicAsync(KernelTask task, Apqn apqn, AqicControl control)
    {
        PqapRequest request = new(PqapRegisters.ForAqic(apqn, control));
        await _vcpu.Mutex.LockAsync(task);
        PqapAnswer answer = await PqapInterception.HandleAsync(task, _vcpu, request, _profile);
        _vcpu.Mutex.Unlock(task);
        return answer is { Outcome: PqapOutcome.Completed, ConditionCode: 0 } ? new ApStatus(ApResponse.Normal, control.Enable)
            : answer.Outcome == PqapOutcome.Completed && request.Registers.Response != ApResponse.Normal ? request.Registers.Response
            : ApResponse.NotAvailable;
    }

    /// <inheritdoc/>
    public ApStatus Nqap(Apqn apqn, ulong psmid, ReadOnlySpan<byte> message)
    {
        byte[] request = message.ToArray();
        return InSie((This: this, apqn, psmid, request), static s =>
            s.This.Reaches(s.apqn) ? s.This._hardware.Nqap(s.apqn, s.psmid, s.request) : ApResponse.NotAvailable);
    }

    /// <inheritdoc/>
    public ApStatus Dqap(Apqn apqn, out ulong psmid, out ReadOnlyMemory<byte> message)
    {
        (ApStatus status, psmid, message) = InSie((This: this, apqn), static s =>
        {
            ulong name = 0;
            ReadOnlyMemory<byte> reply = default;
            ApStatus answer = s.This.Reaches(s.apqn) ? s.This._hardware.Dqap(s.apqn, out name, out reply) : ApResponse.NotAvailable;
            return (answer, name, reply);
        });
        return status;
    }

    private bool Reaches(Apqn apqn) => IsAvailable && Apcb.Contains(apqn);

    // Read by the machine, which takes no lock: while the vCPU is in SIE the masks do not change.
    private Apcb Apcb => _vcpu.Machine.Apcb;

    private TResult InSie<TState, TResult>(TState state, Func<TState, TResult> instruction)
    {
        _runtime.EntersSection();
        TResult result = _vcpu.RunInSie(state, instruction);
        _runtime.LeavesSection();
        return result;
    }

    private ApStatus Run(Apqn apqn, Func<IApInstructions, Apqn, ApStatus> instruction) =>
        InSie((This: this, apqn, instruction), static s =>
            s.This.Reaches(s.apqn) ? s.instruction(s.This._hardware, s.apqn) : ApResponse.NotAvailable);
}

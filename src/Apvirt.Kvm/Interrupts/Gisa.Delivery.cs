using System.Collections.Immutable;
using System.Numerics;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;
using Apvirt.Kernel.Work;
using Apvirt.Kvm.Machines;

namespace Apvirt.Kvm.Interrupts;

/// <summary>
/// How an interrupt finds a vCPU that waits: it alerts the host if the subclass alerts, the host's interrupt starts the
/// VM's timer, and that kicks one idle vCPU after another until nothing is pending (kvm.md §6, V08).
/// </summary>
public sealed partial class Gisa
{
    private static readonly TimeSpan KickInterval = TimeSpan.FromMicroseconds(50);

    // Guarded by RefLock.
    private Guarded<GisaState> _state;
    private Guarded<ImmutableArray<IdleVcpu>> _idle = new([]);

    private readonly KernelTimer _timer;

    /// <summary>Subclasses with an interrupt that no vCPU has taken, 0x80 for subclass 0; for observers.</summary>
    public byte Pending => Look().Pending;

    /// <summary>Subclasses that alert the host now, for observers: none while the host is at work on an alert.</summary>
    public byte Alerting => Look().Alerting;

    /// <summary>vCPUs that wait for an interrupt, for observers.</summary>
    public int IdleVcpus => LookAtIdle().Length;

    /// <summary>Subclasses with an interrupt that a waiting vCPU could take, for observers: none stay there for long (V08).</summary>
    public byte Undelivered => (byte)(Pending & LookAtIdle().Aggregate(0, (bits, vcpu) => bits | vcpu.Subclasses));

    /// <summary>Whether the host is at work on an alert, for observers.</summary>
    public bool IsDelivering => Look().Delivery is Delivery.Alerted or Delivery.Kicking;

    /// <summary>Whether the vCPUs are held out of the kernel, for observers.</summary>
    public bool AreHeldOut => Look().HoldOuts > 0;

    /// <summary>An interrupt arrives for a subclass. Without a GISA it is lost.</summary>
    /// <param name="task">The task.</param>
    /// <param name="subclass">Guest subclass, 0 to 7.</param>
    /// <param name="throughHost">Whether the host has it first, and starts the timer whether or not the subclass alerts.</param>
    public void Pend(KernelTask task, int subclass, bool throughHost = false)
    {
        byte bit = (byte)(0x80 >> subclass);
        using KernelSpinLock.Section section = RefLock.Lock(task);
        if (!_exists.Read(task, this, KvmGuards.Subclasses))
            return;
        ref GisaState state = ref _state.Change(task, this, KvmGuards.Delivery);
        state = state with { Pending = (byte)(state.Pending | bit) };
        if ((state.Alerting & bit) != 0)
        {
            state = state with { Alerting = 0, Delivery = Delivery.Alerted };
            task.Runtime.Spawn("alert interrupt", Answer);
        }
        else if (state.Delivery == Delivery.Parked || (throughHost && state.Delivery == Delivery.None))
        {
            state = state with { Alerting = 0, Delivery = Delivery.Kicking };
            _timer.Set(TimeSpan.Zero);
        }
    }

    /// <summary>The guest says how it wants interrupts of functions; what was suppressed before comes again.</summary>
    /// <param name="task">The task.</param>
    /// <param name="subclass">Guest subclass.</param>
    /// <param name="mode">How.</param>
    /// <returns>EINVAL for a subclass above 7 or a mode that there is not.</returns>
    public Errno SetSuppression(KernelTask task, int subclass, SuppressionMode mode)
    {
        if (subclass is < 0 or >= SubclassCount || !Enum.IsDefined(mode))
            return Errno.EINVAL;
        byte bit = (byte)(0x80 >> subclass);
        using KernelSpinLock.Section section = RefLock.Lock(task);
        ref GisaState state = ref _state.Change(task, this, KvmGuards.Delivery);
        state = state with { Single = (byte)(mode == SuppressionMode.Single ? state.Single | bit : state.Single & ~bit), Suppressed = (byte)(state.Suppressed & ~bit) };
        return Errno.Ok;
    }

    /// <summary>Whether an interrupt of a function reaches the guest; with <see cref="SuppressionMode.Single"/> the next one does not.</summary>
    /// <param name="task">The task.</param>
    /// <param name="subclass">Guest subclass, 0 to 7.</param>
    public bool Passes(KernelTask task, int subclass)
    {
        byte bit = (byte)(0x80 >> subclass);
        using KernelSpinLock.Section section = RefLock.Lock(task);
        ref GisaState state = ref _state.Change(task, this, KvmGuards.Delivery);
        if ((state.Suppressed & bit) != 0)
            return false;
        state = state with { Suppressed = (byte)(state.Suppressed | (state.Single & bit)) };
        return true;
    }

    /// <summary>A vCPU waits until an interrupt arrives that it can take, and takes it.</summary>
    /// <param name="task">The vCPU's task, which holds vcpu->mutex.</param>
    /// <param name="vcpu">The vCPU.</param>
    /// <param name="subclasses">What it can take, 0x80 for subclass 0.</param>
    /// <returns>The subclass of the interrupt; -1 if the vCPU is held out of the kernel.</returns>
    internal async ValueTask<int> WaitAsync(KernelTask task, Vcpu vcpu, byte subclasses)
    {
        while (true)
        {
            IdleVcpu idle = new(subclasses, new Completion(task.Runtime, vcpu), IsKicked: false);
            if (TryTake(task, idle) is { } subclass)
                return subclass;
            await idle.Woken.WaitAsync(task);
            using KernelSpinLock.Section section = RefLock.Lock(task);
            ref ImmutableArray<IdleVcpu> all = ref _idle.Change(task, this, KvmGuards.Delivery);
            all = all.RemoveAt(IndexOf(all, idle));
        }
    }

    /// <summary>Holds the vCPUs out of the kernel: those that wait return, others do not begin to.</summary>
    /// <param name="task">The task.</param>
    internal void HoldOut(KernelTask task)
    {
        using KernelSpinLock.Section section = RefLock.Lock(task);
        ref GisaState state = ref _state.Change(task, this, KvmGuards.Delivery);
        state = state with { HoldOuts = state.HoldOuts + 1 };
        foreach (IdleVcpu idle in _idle.Read(task, this, KvmGuards.Delivery))
            idle.Woken.Complete();
    }

    /// <summary>Lets the vCPUs wait again.</summary>
    /// <param name="task">The task.</param>
    internal void LetIn(KernelTask task)
    {
        using KernelSpinLock.Section section = RefLock.Lock(task);
        ref GisaState state = ref _state.Change(task, this, KvmGuards.Delivery);
        state = state with { HoldOuts = state.HoldOuts - 1 };
    }

    // Takes the interrupt of the lowest subclass, or begins to wait; both under the lock, so that none is missed.
    private int? TryTake(KernelTask task, IdleVcpu idle)
    {
        using KernelSpinLock.Section section = RefLock.Lock(task);
        ref GisaState state = ref _state.Change(task, this, KvmGuards.Delivery);
        if (state.HoldOuts > 0)
            return -1;
        int possible = state.Pending & idle.Subclasses;
        if (possible == 0)
        {
            ref ImmutableArray<IdleVcpu> all = ref _idle.Change(task, this, KvmGuards.Delivery);
            all = all.Add(idle);
            return null;
        }
        int subclass = BitOperations.LeadingZeroCount((uint)possible << 24);
        state = state with { Pending = (byte)(state.Pending & ~(0x80 >> subclass)) };
        // The timer sees that nothing is pending, and lets subclasses alert again.
        if (state is { Pending: 0, Delivery: Delivery.Parked })
        {
            state = state with { Delivery = Delivery.Kicking };
            _timer.Set(KickInterval);
        }
        return subclass;
    }

    // The host's interrupt: it takes the GISA from the alert list and starts its timer.
    private ValueTask Answer(KernelTask task)
    {
        using KernelSpinLock.Section section = RefLock.Lock(task);
        ref GisaState state = ref _state.Change(task, this, KvmGuards.Delivery);
        if (state.Delivery == Delivery.Alerted)
        {
            state = state with { Delivery = Delivery.Kicking };
            _timer.Set(TimeSpan.Zero);
        }
        return default;
    }

    private ValueTask Kick(KernelTask task)
    {
        using KernelSpinLock.Section section = RefLock.Lock(task);
        ref GisaState state = ref _state.Change(task, this, KvmGuards.Delivery);
        if (state.Delivery != Delivery.Kicking)
            return default;
        if (state.Pending == 0)
        {
            state = state with { Alerting = _alertMask.Read(task, this, KvmGuards.Subclasses), Delivery = Delivery.None };
            return default;
        }
        ImmutableArray<IdleVcpu> all = _idle.Read(task, this, KvmGuards.Delivery);
        if (FirstFor(all, state.Pending) is not { } first)
        {
            state = state with { Delivery = Delivery.Parked };
            return default;
        }
        _idle.Write(task, this, KvmGuards.Delivery, all.SetItem(first, all[first] with { IsKicked = true }));
        all[first].Woken.Complete();
        _timer.Set(KickInterval);
        return default;
    }

    // The first vCPU that can take what is pending and was not kicked.
    private static int? FirstFor(ImmutableArray<IdleVcpu> all, byte pending)
    {
        for (int i = 0; i < all.Length; i++)
        {
            if (!all[i].IsKicked && (all[i].Subclasses & pending) != 0)
                return i;
        }
        return null;
    }

    // Each wait has a completion of its own.
    private static int IndexOf(ImmutableArray<IdleVcpu> all, IdleVcpu idle)
    {
        int i = 0;
        while (all[i].Woken != idle.Woken)
            i++;
        return i;
    }

    private GisaState Look() => _state.Glance(_runtime, this, KvmGuards.Delivery);

    private ImmutableArray<IdleVcpu> LookAtIdle() => _idle.Glance(_runtime, this, KvmGuards.Delivery);

    // Under RefLock. What subclasses alert has changed; while the GISA is on the alert list they alert when the list was cut.
    private void SetAlerting(KernelTask task)
    {
        ref GisaState state = ref _state.Change(task, this, KvmGuards.Delivery);
        if (state.Delivery == Delivery.None)
            state = state with { Alerting = _alertMask.Read(task, this, KvmGuards.Subclasses) };
    }

    // Under RefLock.
    private void ClearDelivery(KernelTask task)
    {
        ref GisaState state = ref _state.Change(task, this, KvmGuards.Delivery);
        state = new GisaState { HoldOuts = state.HoldOuts, Single = state.Single, Suppressed = state.Suppressed };
        _timer.Cancel();
    }
}

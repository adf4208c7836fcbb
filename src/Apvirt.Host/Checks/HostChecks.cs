using Apvirt.Devices;
using Apvirt.Host.Checks.Invariants;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Host.Checks;

/// <summary>
/// Looks at the invariants of a host while it runs. Only where something guarded was written since the last look, so what
/// only reads costs nothing. All tasks of the host share one thread; a host on several threads is looked at between
/// operations (<see cref="LookAtRestAsync"/>).
/// </summary>
public sealed class HostChecks : ICheckPoints
{
    private static readonly ulong BindingBit = GuardTable.BitsOf([.. DeviceGuards.All.Select(rule => rule.Field)]);

    private readonly VirtualHost _host;
    private readonly List<(Invariant Invariant, ulong Fields)> _steps = [];
    private readonly List<(Invariant Invariant, ulong Fields)> _unlocked = [];
    private readonly List<(Invariant Invariant, ulong Fields)> _rest = [];

    // The fields written since the last look at each kind of point, as bits of GuardTable.
    private ulong _stepWrites;
    private ulong _unlockedWrites;
    private ulong _restWrites;
    private bool _isLooking;
    private bool _isPostponed;

    /// <summary>Begins to check a host.</summary>
    /// <param name="host">The host.</param>
    public HostChecks(VirtualHost host)
    {
        _host = host;
        foreach (Invariant invariant in InvariantTable.Create(hasPci: host.Pci.Bus.Slots.Count > 0))
            Add(invariant);
        if (host.Model.Runtime.IsSerial)
            host.Model.Runtime.CheckPoints = this;
    }

    /// <summary>Guarded writes so far, without those to who is bound, which a refused bind takes back.</summary>
    public long Writes { get; private set; }

    /// <summary>Looks at one statement more from now on.</summary>
    /// <param name="invariant">The statement.</param>
    public void Add(Invariant invariant) => (invariant.Point switch
    {
        CheckPoint.Step => _steps,
        CheckPoint.Unlocked => _unlocked,
        _ => _rest,
    }).Add((invariant, GuardTable.BitsOf(invariant.DependsOn)));

    /// <inheritdoc/>
    public void Written(GuardRule rule)
    {
        ulong bit = GuardTable.BitOf(rule);
        _stepWrites |= bit;
        _unlockedWrites |= bit;
        _restWrites |= bit;
        if ((bit & BindingBit) == 0)
            Writes++;
    }

    /// <inheritdoc/>
    public void Released(KernelTask task)
    {
        if (_stepWrites == 0 || _isLooking)
            return;
        Look(_steps, task, ref _stepWrites);
        LookUnlocked(task);
    }

    /// <summary>The end of an operation with nothing else under way: as <see cref="Returned"/>, and the invariants of rest hold.</summary>
    /// <param name="task">The task.</param>
    /// <param name="error">How it ended.</param>
    /// <param name="writesBefore">As there.</param>
    public void Ended(KernelTask task, Errno error, long? writesBefore)
    {
        Returned(task, error, writesBefore);
        if (_restWrites != 0 && _host.IsAtRest)
            Look(_rest, task, ref _restWrites);
    }

    /// <summary>The end of an operation: its task holds nothing (I28), and an error has changed nothing (I30).</summary>
    /// <param name="task">The task.</param>
    /// <param name="error">How it ended.</param>
    /// <param name="writesBefore">Value of <see cref="Writes"/> at its begin; null if others ran meanwhile or an error may change something.</param>
    public void Returned(KernelTask task, Errno error, long? writesBefore)
    {
        task.ReturnToUser();
        if (error != Errno.Ok && writesBefore is { } before && before != Writes)
            new InvariantContext(_host, task, "I30").Report($"an operation that ended with {error} has changed {Writes - before} guarded fields");
        LookUnlocked(task);
    }

    /// <summary>Looks at everything, under the locks that keep the state still, for a host on several threads.</summary>
    /// <param name="task">The looking task.</param>
    public async ValueTask LookAtRestAsync(KernelTask task)
    {
        await _host.VfioAp.Matrix.GuestsLock.LockAsync(task);
        await _host.VfioAp.Matrix.MdevsLock.LockAsync(task);
        ulong all = ulong.MaxValue;
        Look(_steps, task, ref all);
        all = ulong.MaxValue;
        Look(_unlocked, task, ref all);
        all = ulong.MaxValue;
        Look(_rest, task, ref all);
        _host.VfioAp.Matrix.MdevsLock.Unlock(task);
        _host.VfioAp.Matrix.GuestsLock.Unlock(task);
    }

    /// <summary>The invariant that is being looked at could not see a part that is changing: what it depends on counts as written.</summary>
    internal void Postpone() => _isPostponed = true;

    private void LookUnlocked(KernelTask task)
    {
        if (_unlockedWrites == 0 || _host.VfioAp.Matrix.GuestsLock.IsHeld || _host.VfioAp.Matrix.MdevsLock.IsHeld)
            return;
        Look(_unlocked, task, ref _unlockedWrites);
    }

    private void Look(List<(Invariant Invariant, ulong Fields)> invariants, KernelTask task, ref ulong writes)
    {
        _isLooking = true;
        task.Runtime.EntersSection();
        ulong postponed = 0;
        foreach ((Invariant invariant, ulong fields) in invariants)
        {
            if ((fields & writes) == 0)
                continue;
            _isPostponed = false;
            invariant.Check(new InvariantContext(_host, task, invariant.Id));
            if (_isPostponed)
                postponed |= fields & writes;
        }
        writes = postponed;
        task.Runtime.LeavesSection();
        _isLooking = false;
    }
}

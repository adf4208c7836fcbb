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
    private readonly VirtualHost _host;
    private readonly List<Invariant> _steps = [];
    private readonly List<Invariant> _unlocked = [];
    private readonly List<Invariant> _rest = [];
    private bool _hasStepped;
    private bool _hasChanged;
    private bool _isRestless;
    private bool _isLooking;

    /// <summary>Begins to check a host.</summary>
    /// <param name="host">The host.</param>
    public HostChecks(VirtualHost host)
    {
        _host = host;
        foreach (Invariant invariant in InvariantTable.Create())
        {
            (invariant.Point switch
            {
                CheckPoint.Step => _steps,
                CheckPoint.Unlocked => _unlocked,
                _ => _rest,
            }).Add(invariant);
        }
        if (host.Model.Runtime.IsSerial)
            host.Model.Runtime.CheckPoints = this;
    }

    /// <summary>Guarded writes so far, without those to who is bound, which a refused bind takes back.</summary>
    public long Writes { get; private set; }

    /// <inheritdoc/>
    public void Written(GuardRule rule)
    {
        _hasStepped = true;
        _hasChanged = true;
        _isRestless = true;
        if (!DeviceGuards.All.Contains(rule))
            Writes++;
    }

    /// <inheritdoc/>
    public void Released(KernelTask task)
    {
        if (!_hasStepped || _isLooking)
            return;
        _hasStepped = false;
        Look(_steps, task);
        LookUnlocked(task);
    }

    /// <summary>
    /// The end of an operation: its task holds nothing (I28), an error has changed nothing (I30), and if nothing is under
    /// way the invariants of rest hold.
    /// </summary>
    /// <param name="task">The task.</param>
    /// <param name="error">How it ended.</param>
    /// <param name="writesBefore">Value of <see cref="Writes"/> at its begin; null if others ran meanwhile or an error may change something.</param>
    public void Ended(KernelTask task, Errno error, long? writesBefore)
    {
        task.ReturnToUser();
        if (error != Errno.Ok && writesBefore is { } before && before != Writes)
            new InvariantContext(_host, task, "I30").Report($"an operation that ended with {error} has changed {Writes - before} guarded fields", finding: null);
        LookUnlocked(task);
        if (!_isRestless || !_host.IsAtRest)
            return;
        _isRestless = false;
        Look(_rest, task);
    }

    /// <summary>Looks at everything, under the locks that keep the state still, for a host on several threads.</summary>
    /// <param name="task">The looking task.</param>
    public async ValueTask LookAtRestAsync(KernelTask task)
    {
        await _host.VfioAp.Matrix.GuestsLock.LockAsync(task);
        await _host.VfioAp.Matrix.MdevsLock.LockAsync(task);
        Look(_steps, task);
        Look(_unlocked, task);
        Look(_rest, task);
        _host.VfioAp.Matrix.MdevsLock.Unlock(task);
        _host.VfioAp.Matrix.GuestsLock.Unlock(task);
    }

    private void LookUnlocked(KernelTask task)
    {
        if (!_hasChanged || _host.VfioAp.Matrix.GuestsLock.IsHeld || _host.VfioAp.Matrix.MdevsLock.IsHeld)
            return;
        _hasChanged = false;
        Look(_unlocked, task);
    }

    private void Look(List<Invariant> invariants, KernelTask task)
    {
        _isLooking = true;
        foreach (Invariant invariant in invariants)
            invariant.Check(new InvariantContext(_host, task, invariant.Id));
        _isLooking = false;
    }
}

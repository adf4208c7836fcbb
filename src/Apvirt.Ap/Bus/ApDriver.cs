using Apvirt.Ap.Architecture;
using Apvirt.Devices.Core;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Bus;

/// <summary>A driver of AP devices.</summary>
public abstract class ApDriver : Driver
{
    /// <summary>Makes a driver.</summary>
    /// <param name="bus">The bus.</param>
    /// <param name="name">Its name.</param>
    protected ApDriver(ApBus bus, string name) : base(bus, name)
    {
    }

    /// <summary>Whether the driver serves the host's default pool: queues whose bits are set in both masks.</summary>
    public abstract bool IsDefault { get; }

    /// <summary>Whether the driver takes queues; it takes cards otherwise.</summary>
    public abstract bool TakesQueues { get; }

    /// <summary>
    /// Asked before queues go to the default pool: are any of them in use? Called with ap_perms_mutex held (M020, M021).
    /// </summary>
    /// <param name="task">The task that changes a mask.</param>
    /// <param name="apm">Adapters.</param>
    /// <param name="aqm">Domains.</param>
    /// <returns>Any error refuses the change.</returns>
    public virtual ValueTask<Errno> InUseAsync(KernelTask task, ApMask apm, ApMask aqm) => new(Errno.Ok);

    /// <summary>The configuration has changed; devices are not yet removed or added (ap-bus.md §5).</summary>
    /// <param name="task">The scanning task.</param>
    /// <param name="now">The new configuration.</param>
    /// <param name="before">The old one.</param>
    public virtual ValueTask ConfigurationChangedAsync(KernelTask task, QciInfo now, QciInfo before) => default;

    /// <summary>The scan after a change is complete: devices are removed and added.</summary>
    /// <param name="task">The scanning task.</param>
    /// <param name="now">The new configuration.</param>
    /// <param name="before">The old one.</param>
    public virtual ValueTask ScanCompletedAsync(KernelTask task, QciInfo now, QciInfo before) => default;
}

using Apvirt.Ap.Architecture;

namespace Apvirt.Ap.Hardware;

/// <summary>What can be seen from outside: how often queues were reset, and whom they interrupt.</summary>
public sealed partial class CryptoHardware
{
    /// <summary>How many ZAPQ each queue got while it was in the configuration; queues without any are left out.</summary>
    /// <returns>The counts in the order of the queues' numbers.</returns>
    public IReadOnlyList<(Apqn Apqn, ResetCounts Counts)> ResetCounts()
    {
        List<(Apqn, ResetCounts)> counts = [];
        using (_gate.Enter())
        {
            for (int apid = 0; apid < ApMask.Size; apid++)
                _adapters[apid]?.AddResetCounts(apid, counts);
        }
        return counts;
    }

    /// <summary>How often a queue was cleaned: by a ZAPQ of the host or by leaving the configuration, for observers.</summary>
    /// <param name="apqn">The queue.</param>
    public int CleaningsOf(Apqn apqn)
    {
        using (_gate.Enter())
        {
            if (_adapters[apqn.Apid] is not { } adapter)
                return 0;
            ref QueueState state = ref adapter.State(apqn.Apqi);
            return state.BusResets + state.DriverResets + state.Departures;
        }
    }

    /// <summary>Whether vfio_ap has ever armed a queue.</summary>
    public bool HasArmedQueues { get; private set; }

    /// <summary>Whether a queue can interrupt now and was armed by vfio_ap, for observers.</summary>
    /// <param name="apqn">The queue.</param>
    public bool IsArmedByDriver(Apqn apqn)
    {
        using (_gate.Enter())
            return TryGet(apqn, out SimulatedAdapter? adapter) && adapter.State(apqn.Apqi).InterruptEnabled;
    }

    /// <summary>What a queue does when it has a reply: to whom it is armed; null if it does not interrupt a guest.</summary>
    /// <param name="apqn">The queue.</param>
    public AqicControl? ArmedFor(Apqn apqn)
    {
        using (_gate.Enter(apqn, isWrite: false))
        {
            return TryGet(apqn, out SimulatedAdapter? adapter) && adapter.State(apqn.Apqi).InterruptEnabled && _armed.TryGetValue(apqn, out AqicControl control)
                ? control
                : null;
        }
    }

    /// <summary>Sets all reset counters to zero.</summary>
    public void ClearResetCounters()
    {
        using (_gate.Enter())
        {
            foreach (SimulatedAdapter? adapter in _adapters)
                adapter?.ClearResetCounters();
        }
    }
}

using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Sharing;
using Section = Apvirt.Kernel.Sharing.SharedState<Apvirt.Ap.Hardware.HardwareState>.Section;

namespace Apvirt.Ap.Hardware;

/// <summary>
/// What can be seen from outside: how often queues were reset, and whom they interrupt. An instruction changes its own queue,
/// and does not meet others that read what all share; so who asks for what all queues have enters as if to change it.
/// </summary>
public sealed partial class CryptoHardware
{
    /// <summary>How many ZAPQ each queue got while it was in the configuration; queues without any are left out.</summary>
    /// <returns>The counts in the order of the queues' numbers.</returns>
    public IReadOnlyList<(Apqn Apqn, ResetCounts Counts)> ResetCounts()
    {
        List<(Apqn, ResetCounts)> counts = [];
        using Section section = Enter(AccessKind.Write);
        for (int apid = 0; apid < ApMask.Size; apid++)
            section.Value.Adapters[apid]?.AddResetCounts(apid, counts);
        return counts;
    }

    /// <summary>How often a queue was cleaned: by a ZAPQ of the host or by leaving the configuration, for observers.</summary>
    /// <param name="apqn">The queue.</param>
    public int CleaningsOf(Apqn apqn)
    {
        using Section section = Enter(apqn, AccessKind.Read);
        if (section.Value.Adapters[apqn.Apid] is not { } adapter)
            return 0;
        ref QueueState state = ref adapter.State(apqn.Apqi);
        return state.BusResets + state.DriverResets + state.Departures;
    }

    /// <summary>Whether vfio_ap has ever armed a queue.</summary>
    public bool HasArmedQueues
    {
        get
        {
            using Section section = Enter(AccessKind.Write);
            return section.Value.HasArmedQueues;
        }
    }

    /// <summary>Whether a queue can interrupt now and was armed by vfio_ap, for observers.</summary>
    /// <param name="apqn">The queue.</param>
    public bool IsArmedByDriver(Apqn apqn)
    {
        using Section section = Enter(apqn, AccessKind.Read);
        return section.Value.TryGet(apqn, out SimulatedAdapter? adapter) && adapter.State(apqn.Apqi).InterruptEnabled;
    }

    /// <summary>What a queue does when it has a reply: to whom it is armed; null if it does not interrupt a guest.</summary>
    /// <param name="apqn">The queue.</param>
    public AqicControl? ArmedFor(Apqn apqn)
    {
        using Section section = Enter(apqn, AccessKind.Read);
        HardwareState state = section.Value;
        return state.TryGet(apqn, out SimulatedAdapter? adapter) && adapter.State(apqn.Apqi).InterruptEnabled && state.Armed.TryGetValue(apqn, out AqicControl control)
            ? control
            : null;
    }

    /// <summary>Sets all reset counters to zero.</summary>
    public void ClearResetCounters()
    {
        using Section section = Enter(AccessKind.Write);
        foreach (SimulatedAdapter? adapter in section.Value.Adapters)
            adapter?.ClearResetCounters();
    }
}

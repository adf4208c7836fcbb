using Apvirt.Ap.Bus;
using Apvirt.Kernel.Checking;

namespace Apvirt.Ap;

/// <summary>The guard table of this layer (locking.md §2).</summary>
public static class ApGuards
{
    /// <summary>apmask and aqmask.</summary>
    internal static GuardRule<ApBus> Masks { get; } = new(
        "apmask/aqmask",
        write: [new(ApBus.PermsClass, bus => bus.PermsMutex)],
        exceptions: "the store of ap_domain tests aqmask unlocked");

    /// <summary>The configuration as the last scan saw it.</summary>
    internal static GuardRule<ApBus> Configuration { get; } = new(
        "bus configuration",
        write: [new(ApBus.ScanClass, bus => bus.ScanMutex)],
        exceptions: "attributes show what the last scan saw");

    /// <summary>The host's requests to a queue: those that wait, those in the hardware, and the number of the last.</summary>
    internal static GuardRule<HostRequests> Requests { get; } = new(
        "queue requests",
        write: [new(HostRequests.QueueClass, requests => requests.Lock)],
        exceptions: "attributes and the machine of the queue look how many there are");

    /// <summary>All rules of the layer.</summary>
    public static IReadOnlyList<GuardRule> All { get; } = [Masks, Configuration, Requests];
}

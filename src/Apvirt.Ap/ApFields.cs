using Apvirt.Kernel.Sharing;

namespace Apvirt.Ap;

/// <summary>The fields of this layer that no lock guards, and why none need do so (locking.md §2).</summary>
public static class ApFields
{
    private const string OfLastScan = "The scan writes what it last saw; whoever looks may see the state before.";
    private const string Switch = "A number that its file sets and that counts from the next use on.";
    private const string Statistics = "Counted for whoever reads the file.";
    private const string OfMachine = "Each step of the queue's machine looks at it anew.";

    /// <summary>Whether a card or queue was configured at the last scan.</summary>
    internal static SharedField IsConfigured { get; } = new("ap.is_configured", OfLastScan);

    /// <summary>Whether a card or queue was checkstopped at the last scan.</summary>
    internal static SharedField IsCheckstopped { get; } = new("ap.is_checkstopped", OfLastScan);

    /// <summary>The switch of a card or queue.</summary>
    internal static SharedField IsOnline { get; } = new("ap.is_online", "A switch, which whoever sends a request looks at once.");

    /// <summary>Requests that a card or queue served.</summary>
    internal static SharedField RequestCount { get; } = new("ap.request_count", Statistics);

    /// <summary>The queues of a card, oldest first.</summary>
    internal static SharedField CardQueues { get; } = new("card.queues", "Only the scan changes it; whoever lists the card takes no lock.");

    /// <summary>The queues of a card by their domains.</summary>
    internal static SharedField QueueTable { get; } = new("card.queue_table", "Only the scan changes it; whoever looks for a queue takes no lock.");

    /// <summary>Where the machine of a queue is.</summary>
    internal static SharedField MachineState { get; } = new("queue.machine_state", OfMachine);

    /// <summary>What the bus holds of a queue.</summary>
    internal static SharedField DeviceState { get; } = new("queue.device_state", OfMachine);

    /// <summary>The last error of a queue.</summary>
    internal static SharedField LastError { get; } = new("queue.last_error", "Kept for whoever asks why a queue has failed.");

    /// <summary>The requests of the host on a queue.</summary>
    internal static SharedField Requests { get; } = new("queue.requests", "Made once, by the first request, and stays.");

    /// <summary>Whether the bus polls a queue.</summary>
    internal static SharedField IsPolled { get; } = new("queue.is_polled", "Whoever sets it puts the queue on the list; who polls takes it back first.");

    /// <summary>How a request ended.</summary>
    internal static SharedField Reply { get; } = new("request.reply", "Written once, before the request is completed.");

    /// <summary>The cards of the bus by their adapters.</summary>
    internal static SharedField Cards { get; } = new("bus.cards", "Only the scan changes it; whoever looks for a card takes no lock.");

    /// <summary>The scan that is under way.</summary>
    internal static SharedField RunningScan { get; } = new("bus.running_scan", "Whoever comes while one is under way shares it, and takes no lock for that.");

    /// <summary>Whether the machine is switched off.</summary>
    internal static SharedField IsStopped { get; } = new("bus.is_stopped", "Written once, when the machine goes.");

    /// <summary>Finished scans.</summary>
    internal static SharedField ScanCount { get; } = new("bus.scan_count", "The scan counts; whoever looks takes no lock.");

    /// <summary>Whether everything bound has been told.</summary>
    internal static SharedField BindingsLatch { get; } = new("bus.bindings_latch", "Whoever sets it tells; a completion in Linux.");

    /// <summary>How often everything bound has been told.</summary>
    internal static SharedField BindingsCompleteCount { get; } = new("bus.bindings_complete_count", "An atomic counter in Linux.");

    /// <summary>Queue devices.</summary>
    internal static SharedField QueueCount { get; } = new("bus.queue_count", "The scan counts; whoever looks whether all are bound takes no lock.");

    /// <summary>Queue devices that have a driver.</summary>
    internal static SharedField BoundCount { get; } = new("bus.bound_count", "Probe and remove count, each under the lock of another device.");

    /// <summary>The default domain.</summary>
    internal static SharedField DefaultDomain { get; } = new("bus.default_domain", "A number that a scan chooses or its file sets; Linux reads it unlocked.");

    /// <summary>The time between scans.</summary>
    internal static SharedField ConfigTime { get; } = new("bus.config_time", Switch);

    /// <summary>The time between polls.</summary>
    internal static SharedField PollTimeout { get; } = new("bus.poll_timeout", Switch);

    /// <summary>Whether the poll thread runs.</summary>
    internal static SharedField PollThread { get; } = new("bus.poll_thread", Switch);

    /// <summary>The queues that are polled next, and whether the timer for that is set.</summary>
    internal static SharedField Polled { get; } = new("poller.queues", "Two words that change together, for a moment.");

    /// <summary>The hardware.</summary>
    internal static SharedField Hardware { get; } = new("hardware", "The hardware is no part of the kernel: an instruction is one step.");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<SharedField> All { get; } =
    [
        IsConfigured, IsCheckstopped, IsOnline, RequestCount, CardQueues, QueueTable, MachineState, DeviceState, LastError, Requests, IsPolled,
        Reply, Cards, RunningScan, IsStopped, ScanCount, BindingsLatch, BindingsCompleteCount, QueueCount, BoundCount, DefaultDomain,
        ConfigTime, PollTimeout, PollThread, Polled, Hardware,
    ];
}

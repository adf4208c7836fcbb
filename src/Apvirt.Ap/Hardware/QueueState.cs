using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Ap.Hardware;

/// <summary>Who issues an instruction: response-code faults and reset counters tell them apart (FORMAT.md).</summary>
public enum ApIssuer
{
    /// <summary>The host's AP bus.</summary>
    Bus,
    /// <summary>The vfio_ap driver.</summary>
    VfioAp,
    /// <summary>A guest.</summary>
    Guest,
}

/// <summary>Instructions for which responses can be injected.</summary>
public enum ApInstruction
{
    /// <summary>PQAP(ZAPQ).</summary>
    Zapq,
    /// <summary>PQAP(TAPQ).</summary>
    Tapq,
    /// <summary>PQAP(AQIC).</summary>
    Aqic,
}

/// <summary>How many ZAPQ a queue got.</summary>
/// <param name="Bus">From the host's AP bus.</param>
/// <param name="Driver">From the vfio_ap driver.</param>
/// <param name="Guest">From guests.</param>
public readonly record struct ResetCounts(int Bus, int Driver, int Guest);

/// <summary>State of one queue in the hardware. Small and packed: a machine may have 65,536.</summary>
[OwnedBy("The gate of CryptoHardware: part of its HardwareState.")]
internal struct QueueState
{
    internal ApResponse Code;
    internal bool InterruptEnabled;

    // How often the queue left the configuration or stopped, which cleans it as a reset does.
    internal ushort Departures;

    // Whether the queue has an entry among the adapter's extras: faults, requests or times.
    internal bool HasExtras;
    internal int BusResets;
    internal int DriverResets;
    internal int GuestResets;
}

/// <summary>What few queues have: injected responses, requests under way, times until which they are busy.</summary>
[OwnedBy("The gate of CryptoHardware: part of its HardwareState.")]
internal sealed class QueueExtras
{
    internal InjectedResponses?[] Faults { get; } = new InjectedResponses?[3];
    internal Queue<PendingRequest> Requests { get; } = new();
    internal long BusyUntil { get; set; }
    internal long ResettingUntil { get; set; }
}

/// <summary>Responses that the next instructions get instead of the real one.</summary>
[OwnedBy("The gate of CryptoHardware: part of its HardwareState.")]
internal sealed class InjectedResponses(ApResponse[] codes, bool isSticky)
{
    private int _next;

    internal bool TryTake(out ApResponse code)
    {
        code = default;
        if (_next >= codes.Length)
            return false;
        code = codes[_next];
        if (!isSticky || _next < codes.Length - 1)
            _next++;
        return true;
    }
}

/// <summary>A request that is in a queue.</summary>
/// <param name="Psmid">Its name.</param>
/// <param name="Reply">The reply, computed when the request came in.</param>
/// <param name="ReadyAt">When the reply can be taken, in clock ticks.</param>
internal sealed record PendingRequest(ulong Psmid, ReadOnlyMemory<byte> Reply, long ReadyAt);

using Apvirt.Ap.Profiles;

namespace Apvirt.Ap.Bus;

/// <summary>Boot parameters of the AP bus (sysfs.md §8) and what the recording machine did not have.</summary>
public sealed record ApBusOptions
{
    /// <summary>ap.apmask=, null if not given: all adapters in the default pool.</summary>
    public string? ApMaskParameter { get; init; }

    /// <summary>ap.aqmask=, null if not given: all domains in the default pool.</summary>
    public string? AqMaskParameter { get; init; }

    /// <summary>ap.domain=, -1 to let the bus choose.</summary>
    public int DefaultDomain { get; init; } = -1;

    /// <summary>ap.poll_thread=</summary>
    public bool PollThread { get; init; }

    /// <summary>ap.useirq=: whether adapter interrupts are used.</summary>
    public bool UseInterrupts { get; init; } = true;

    /// <summary>Seconds between two scans by timer.</summary>
    public int ConfigTimeSeconds { get; init; } = 30;

    /// <summary>Poll timeout in nanoseconds: 250,000 in an LPAR, 1,500,000 under z/VM.</summary>
    public long PollTimeoutNanoseconds { get; init; } = 250_000;

    /// <summary>Whose quirks apply.</summary>
    public Profile Profile { get; init; } = Profile.Linux612;

    /// <summary>Whether the bus scans by timer; traces are recorded without (FORMAT.md).</summary>
    public bool ScansByTimer { get; init; } = true;
}

namespace Apvirt.Ap.Architecture;

/// <summary>AP response codes (ap-bus.md §11, vfio-ap.md §1).</summary>
public enum ApResponse : byte
{
    /// <summary>00 normal.</summary>
    Normal = 0x00,
    /// <summary>01 queue not available.</summary>
    NotAvailable = 0x01,
    /// <summary>02 reset in progress.</summary>
    ResetInProgress = 0x02,
    /// <summary>03 deconfigured.</summary>
    Deconfigured = 0x03,
    /// <summary>04 checkstopped.</summary>
    Checkstopped = 0x04,
    /// <summary>05 busy.</summary>
    Busy = 0x05,
    /// <summary>06 invalid address of the notification-indicator byte.</summary>
    InvalidAddress = 0x06,
    /// <summary>07 otherwise changed: the interruption state is what was asked for already.</summary>
    OtherwiseChanged = 0x07,
    /// <summary>08 invalid GISA designation.</summary>
    InvalidGisa = 0x08,
    /// <summary>09 bound to another guest.</summary>
    BoundToAnother = 0x09,
    /// <summary>0A state change in progress.</summary>
    StateChangeInProgress = 0x0a,
    /// <summary>0B not bound.</summary>
    NotBound = 0x0b,
    /// <summary>10 queue full (NQAP), or no reply pending (DQAP).</summary>
    NoPendingReply = 0x10,
    /// <summary>15 message too big.</summary>
    MessageTooBig = 0x15,
    /// <summary>16 required facility not installed.</summary>
    FacilityNotInstalled = 0x16,
    /// <summary>35 associated secret not unique.</summary>
    SecretNotUnique = 0x35,
    /// <summary>36 association failed.</summary>
    AssociationFailed = 0x36,
    /// <summary>42 invalid domain.</summary>
    InvalidDomain = 0x42,
}

/// <summary>The status word that every AP instruction returns.</summary>
/// <param name="Code">Response code.</param>
/// <param name="InterruptEnabled">Whether the queue interrupts.</param>
/// <param name="QueueEmpty">Whether no request and no reply is in the queue.</param>
/// <param name="RepliesWaiting">Whether a reply can be taken.</param>
/// <param name="QueueFull">Whether no further request fits.</param>
public readonly record struct ApStatus(
    ApResponse Code, bool InterruptEnabled = false, bool QueueEmpty = true, bool RepliesWaiting = false, bool QueueFull = false)
{
    /// <summary>The word as it stands in general register 1 (kvm.md §5): flags in byte 0, response code in byte 1.</summary>
    public uint Word =>
        (QueueEmpty ? 0x80000000u : 0) | (RepliesWaiting ? 0x40000000u : 0) | (QueueFull ? 0x20000000u : 0)
        | (InterruptEnabled ? 0x01000000u : 0) | ((uint)Code << 16);

    /// <summary>A status with a response code and nothing else.</summary>
    /// <param name="code">The response code.</param>
    public static implicit operator ApStatus(ApResponse code) => new(code);

    /// <summary>A status with a response code and nothing else.</summary>
    /// <param name="code">The response code.</param>
    public static ApStatus FromApResponse(ApResponse code) => new(code);
}

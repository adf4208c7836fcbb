using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Architecture;

/// <summary>Operands of PQAP(AQIC): whether a queue interrupts, and how (ap-bus.md §11, kvm.md §5).</summary>
/// <param name="Enable">IR bit: enable or disable.</param>
/// <param name="Isc">Interruption subclass: the host's for the hardware, the guest's in a guest.</param>
/// <param name="NotificationByte">Address of the notification-indicator byte (NIB).</param>
/// <param name="GisaDesignation">GISA designation for a guest's interrupts, 0 for the host's own.</param>
/// <param name="GuestIsc">Guest interruption subclass when a GISA is designated.</param>
public readonly record struct AqicControl(
    bool Enable, byte Isc, ulong NotificationByte, uint GisaDesignation = 0, byte GuestIsc = 0);

/// <summary>
/// The AP instructions as one processor sees them: the hardware for the host, the hardware through the guest's APCB for
/// a guest. The AP bus is written against this, so the same bus runs in the host and inside a guest (DESIGN.md).
/// </summary>
public interface IApInstructions
{
    /// <summary>Whether AP instructions are installed.</summary>
    bool IsAvailable { get; }

    /// <summary>PQAP(QCI).</summary>
    /// <param name="info">The configuration.</param>
    /// <returns>False if the facility is not installed.</returns>
    bool TryQueryConfiguration(out QciInfo info);

    /// <summary>PQAP(TAPQ).</summary>
    /// <param name="apqn">The queue.</param>
    ApStatus Tapq(Apqn apqn);

    /// <summary>PQAP(TAPQ) with the T bit.</summary>
    /// <param name="apqn">The queue.</param>
    /// <param name="info">About the queue; valid for response codes 00, 02, 03, 04 and 05.</param>
    ApStatus Tapq(Apqn apqn, out ApQueueInfo info);

    /// <summary>PQAP(QACT): a type that the caller knows, for a newer one.</summary>
    /// <param name="apqn">The queue.</param>
    /// <param name="info">What TAPQ told.</param>
    /// <returns>A type from 10 to 14, 0 if there is none.</returns>
    int CompatibleType(Apqn apqn, ApQueueInfo info);

    /// <summary>PQAP(RAPQ): reset.</summary>
    /// <param name="apqn">The queue.</param>
    ApStatus Rapq(Apqn apqn);

    /// <summary>PQAP(ZAPQ): reset and zeroize.</summary>
    /// <param name="apqn">The queue.</param>
    ApStatus Zapq(Apqn apqn);

    /// <summary>PQAP(AQIC). In a guest it is intercepted and may sleep.</summary>
    /// <param name="task">The issuing task.</param>
    /// <param name="apqn">The queue.</param>
    /// <param name="control">Enable or disable, and how.</param>
    ValueTask<ApStatus> AqicAsync(KernelTask task, Apqn apqn, AqicControl control);

    /// <summary>NQAP: puts a request into the queue.</summary>
    /// <param name="apqn">The queue.</param>
    /// <param name="psmid">Name of the request, given back with its reply.</param>
    /// <param name="message">The request.</param>
    ApStatus Nqap(Apqn apqn, ulong psmid, ReadOnlySpan<byte> message);

    /// <summary>DQAP: takes a reply out of the queue.</summary>
    /// <param name="apqn">The queue.</param>
    /// <param name="psmid">Name of the request that it answers.</param>
    /// <param name="message">The reply; empty unless the response code is 00.</param>
    ApStatus Dqap(Apqn apqn, out ulong psmid, out ReadOnlyMemory<byte> message);
}

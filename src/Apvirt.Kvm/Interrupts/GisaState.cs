using Apvirt.Kernel.Waiting;

namespace Apvirt.Kvm.Interrupts;

/// <summary>How interrupts of a VM stand (kvm.md §6).</summary>
/// <param name="Pending">IPM: subclasses with an interrupt that no vCPU has taken, 0x80 for subclass 0.</param>
/// <param name="Alerting">IAM: subclasses that alert the host when an interrupt arrives; none while the host is at work on an alert.</param>
/// <param name="Delivery">How far the host is with an alert.</param>
/// <param name="HoldOuts">How often the vCPUs are held out of the kernel.</param>
/// <param name="Single">Subclasses of which the guest wants one interrupt of functions at a time.</param>
/// <param name="Suppressed">Those of them that have had one since the guest asked.</param>
internal readonly record struct GisaState(byte Pending, byte Alerting, Delivery Delivery, int HoldOuts, byte Single, byte Suppressed);

/// <summary>Whether interrupts of functions are suppressed after one was delivered (adapter-interruption suppression).</summary>
public enum SuppressionMode
{
    /// <summary>None is suppressed.</summary>
    All = 0,
    /// <summary>One is delivered; the next when the guest sets the mode again.</summary>
    Single = 1,
}

/// <summary>How far the host is with an alert.</summary>
internal enum Delivery
{
    /// <summary>Nothing to do.</summary>
    None,
    /// <summary>The GISA is on the alert list, and a host interrupt is on its way.</summary>
    Alerted,
    /// <summary>The timer runs: it kicks a vCPU that can take what is pending, again and again.</summary>
    Kicking,
    /// <summary>No idle vCPU can take what is pending: the timer would do nothing until one comes, or another interrupt.</summary>
    Parked,
}

/// <summary>A vCPU that waits for an interrupt.</summary>
/// <param name="Subclasses">What it can take, 0x80 for subclass 0.</param>
/// <param name="Woken">Completed when it is kicked.</param>
/// <param name="IsKicked">Whether it was kicked, and will look for itself.</param>
internal readonly record struct IdleVcpu(byte Subclasses, Completion Woken, bool IsKicked);

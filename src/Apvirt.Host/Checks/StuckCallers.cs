using Apvirt.Ap.Profiles;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Validation;

namespace Apvirt.Host.Checks;

/// <summary>What callers that wait for ever break (V01), for whoever runs them: exploration and fuzzing.</summary>
public static class StuckCallers
{
    private const string ListenersLock = "device_list_lock";

    /// <summary>The violation that they are.</summary>
    /// <param name="stuck">The callers.</param>
    /// <param name="profile">Whose quirks apply.</param>
    public static Violation Judge(StuckTasks stuck, Profile profile)
    {
        bool isPredicted = profile.Has(Quirk.ListenersHeldWhileTold) && profile.PredictsFindings
            && stuck.Circles.Any(circle => circle.Contains(ListenersLock, StringComparer.Ordinal));
        return new Violation(ViolationKind.Invariant, "V01", stuck.ToString(), "") { Finding = isPredicted ? Quirk.ListenersHeldWhileTold.Finding() : null };
    }
}

using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Profiles;

/// <summary>Which quirks a host has (DESIGN.md "Two profiles"). Immutable.</summary>
public sealed class Profile
{
    private readonly ulong _quirks;

    /// <summary>Makes a profile.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="quirks">The quirks that are on.</param>
    public Profile(string name, IEnumerable<Quirk> quirks)
    {
        Name = name;
        foreach (Quirk quirk in quirks)
            _quirks |= 1UL << (int)quirk;
    }

    /// <summary>Answers exactly as Linux 6.12 does, visible defects included.</summary>
    public static Profile Linux612 { get; } = new("linux-6.12", QuirkTable.Entries.Select(e => e.Quirk));

    /// <summary>Keeps every invariant of invariants.md: no quirk is on.</summary>
    public static Profile Strict { get; } = new("strict", []);

    /// <summary>All profiles.</summary>
    public static IReadOnlyList<Profile> All { get; } = [Linux612, Strict];

    /// <summary>Finds a profile by its name.</summary>
    /// <param name="name">The name.</param>
    public static Profile? Find(string name) => All.FirstOrDefault(profile => string.Equals(profile.Name, name, StringComparison.Ordinal));

    /// <summary>Name of the profile.</summary>
    public string Name { get; }

    /// <summary>Whether the profile's quirks excuse what they break; a test of the checks themselves says no.</summary>
    public bool PredictsFindings { get; init; } = true;

    /// <summary>Whether a quirk is on.</summary>
    /// <param name="quirk">The quirk.</param>
    public bool Has(Quirk quirk) => (_quirks >> (int)quirk & 1) != 0;

    /// <summary>
    /// Whether a quirk is on, asked where a task then really does what the quirk is: whoever checks the task learns that it
    /// deviates here, and so what to expect.
    /// </summary>
    /// <param name="task">The task that deviates if it is.</param>
    /// <param name="quirk">The quirk.</param>
    public bool Deviates(KernelTask task, Quirk quirk)
    {
        if (!Has(quirk))
            return false;
        if (PredictsFindings)
            task.Checks?.Deviated(task, quirk.Entry().Deviation);
        return true;
    }
}

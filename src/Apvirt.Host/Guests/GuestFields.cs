using Apvirt.Kernel.Sharing;

namespace Apvirt.Host.Guests;

/// <summary>The fields of guests' user space that no lock guards, and why none need do so.</summary>
public static class GuestFields
{
    /// <summary>The guests of a host by their names.</summary>
    internal static SharedField Guests { get; } = new("guests", "who looks for a guest finds it or not, and whether it has ended in the meantime it learns under the lock of its main thread");

    /// <summary>How far a guest's process has come.</summary>
    internal static SharedField Stage { get; } = new("guest.stage", "only its main thread looks at it and changes it, whose lock is user space's and no proof of the kernel's");

    /// <summary>How many guests were made.</summary>
    internal static SharedField Made { get; } = new("guests made", "it is only ever counted up");

    /// <summary>The devices that a guest has open.</summary>
    internal static SharedField Devices { get; } = new("guest.devices", "it is replaced whole by the main thread, so that whoever looks sees one state");

    /// <summary>Groups whose file is closed although a device of them is open.</summary>
    internal static SharedField ClosedGroups { get; } = new("guest.closed_groups", "it is replaced whole by the main thread, so that whoever looks sees one state");

    /// <summary>The container of a guest's memory.</summary>
    internal static SharedField Container { get; } = new("guest.container", "it comes once and stays");

    /// <summary>The iommufd of a guest's process.</summary>
    internal static SharedField Iommufd { get; } = new("guest.iommufd", "it comes once and stays, that of the thread which was first");

    /// <summary>Whether a process listens to requests to give back its last device.</summary>
    internal static SharedField RegistersRequest { get; } = new("guest.registers_request", "it is one word, written by the main thread");

    /// <summary>Whether a guest was asked to give up a device.</summary>
    internal static SharedField Asked { get; } = new("guest.asked", "the first who asks is the one that counts");

    /// <summary>The files that a guest's process has open.</summary>
    internal static SharedField Files { get; } = new("guest.files", "the table is looked at and changed in one step, and no file is called meanwhile");

    /// <summary>Who uses an open file.</summary>
    internal static SharedField FileUsers { get; } = new("guest.file.users", "it is a reference count: whoever lets go last closes the file");

    /// <summary>The calls of a guest's process that are under way, its vCPUs in the kernel, and whether it ends.</summary>
    internal static SharedField Threads { get; } = new("guest.threads", "it is looked at and changed in one step; calls come and go in any order");

    /// <summary>All such fields.</summary>
    public static IReadOnlyList<SharedField> All { get; } =
        [Guests, Stage, Made, Devices, ClosedGroups, Container, Iommufd, RegistersRequest, Asked, Files, FileUsers, Threads];
}

using Apvirt.Kernel.Checking;

namespace Apvirt.Ap.Profiles;

/// <summary>What is known of a quirk.</summary>
/// <param name="Quirk">The quirk.</param>
/// <param name="Finding">Number of the finding in invariants.md, or of the observation in QUIRKS.md.</param>
/// <param name="Summary">What 6.12 does.</param>
/// <param name="Instead">What happens without the quirk.</param>
/// <param name="Breaks">The invariants that it breaks, empty if none.</param>
/// <param name="AtOnce">Those of them that only the operation breaks that deviates. What breaks the others is left behind, for anybody to show.</param>
public sealed record QuirkEntry(Quirk Quirk, string Finding, string Summary, string Instead, string Breaks, string AtOnce = "")
{
    /// <summary>The same for checks, which know no quirks.</summary>
    public Deviation Deviation { get; } = new(Finding, [.. Rules(Breaks).Except(Rules(AtOnce), StringComparer.Ordinal)], Rules(AtOnce));

    private static string[] Rules(string text) => text.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>The one table of deviations.</summary>
public static class QuirkTable
{
    /// <summary>All quirks, in the order of the enumeration.</summary>
    public static IReadOnlyList<QuirkEntry> Entries { get; } =
    [
        new(Quirk.NoFilterAfterRemoval, "F03",
            "unassigning, or a removal from the host's configuration, does not filter again: an adapter kept out by a domain that goes stays out",
            "every removal filters again", "V02"),
        new(Quirk.StaleQueueLink, "F02, F06",
            "a queue unassigned while it is not plugged keeps its pointer to the mdev, is not reset, and its interrupt stays charged to the mdev; once the mdev is gone apvirt clears the pointer, where 6.12 would read freed memory",
            "the pointer is cleared, and the queue reset if it is armed", "I10 I11 I20 I21 I22 I23 I36"),
        new(Quirk.FailedEnableLeaks, "F04",
            "an AQIC enable that ends in a code other than 00 and 07 leaks the new page pin and ISC reference and frees the old ones",
            "the new ones are given back, the old ones stay", "I21 I22 I23"),
        new(Quirk.GivesUpWhileArmed, "F05",
            "after six busy attempts to disable, the page is unpinned although the queue may still interrupt",
            "disabling goes on until the queue is disarmed or gone", "I20"),
        new(Quirk.UnmapFromZeroDisarms, "F11",
            "an unmap that starts at 0 disables interrupts on queues that have none, their saved address being 0",
            "only queues whose NIB lies in the range are disarmed", ""),
        new(Quirk.UnexpectedCodeEndsReset, "F21",
            "an unexpected TAPQ code ends the verification of a reset: the ZAPQ code stays (00 counts as passable) and interrupt resources are kept",
            "the reset is looked at and repeated until the queue answers as it should; the code counts meanwhile, and for good if it stays for 10 s", "I11 I20 I21 I22 I23 I36"),
        new(Quirk.ResetDoesNotFilter, "F13",
            "the result of a reset counts at the next filtering only: a queue whose reset fails stays plugged, and one that recovers stays withheld, until something filters",
            "every reset of queues that stay linked is followed by filtering", "I04 V02 V03"),
        new(Quirk.StatusInUpperHalf, "F15",
            "AQIC without a hook stores its status in the upper half of general register 1; only condition code 3 tells the guest",
            "the status is in the lower half, as always", ""),
        new(Quirk.BindingReadUnlocked, "F17",
            "after a mask change the driver of each queue is looked at without the lock of the device, and one is assumed to be there; an unbound queue reads as not bound to a default driver",
            "the driver is looked at under the lock of the device; an unbound queue counts as not bound to a default driver", "I26", AtOnce: "I26"),
        new(Quirk.TypeAskedForNewDomainsOnly, "QUIRKS 30",
            "a new adapter that is too old is only dropped from hot plug if the same change adds domains",
            "it is dropped whenever one of its queues tells its type", ""),
        new(Quirk.UnlockedConfigShow, "F08",
            "ap_config is shown without a lock and may mix old and new masks",
            "it is shown under mdevs_lock", "I26 V06", AtOnce: "I26"),
        new(Quirk.RequestTriggerSurvivesClose, "F09",
            "the device-request eventfd is read without a lock, and stays registered after the last close",
            "it is read under mdevs_lock and released at the last close", "I26", AtOnce: "I26"),
        new(Quirk.UnlockedInitialisation, "F10",
            "a new mdev takes its limits from the host's configuration without a lock",
            "they are read under guests_lock", "I26", AtOnce: "I26"),
        new(Quirk.OfferedBeforeListed, "vfio-ap.md 8",
            "a new mdev is registered with VFIO before it is on the list of mdevs: a guest that opens it in between is not found by a queue's probe",
            "it is put on the list first", "I06 I15"),
        new(Quirk.RemoveGoesFirst, "vfio.md 10",
            "a write to remove takes the attribute away before it looks whether the mdev can go; if it cannot yet, being made still, it stays and has no remove any more",
            "the attribute goes with the mdev", "I30", AtOnce: "I30"),
        new(Quirk.EndlessReset, "F12",
            "a reset is verified until the queue answers, under all locks; a queue that stays busy holds everything up",
            "verification ends after 10 s; the queue keeps its code, and so its adapter is withheld", "V04"),
        new(Quirk.SubclassesForgotten, "F19",
            "making a guest secure without AIV in the ultravisor destroys its GISA: registered subclasses stay counted, cannot be taken back meanwhile, and alert nobody when the GISA comes back",
            "registrations are taken back at any time, and a GISA that comes back alerts for those that are left", "I22 V08"),
        new(Quirk.EnableFailureLeavesTraces, "kvm.md 7",
            "if a vCPU cannot be made secure, service signals stay masked; the system control area stays extended after any failure",
            "a failed start leaves the VM as it was", "I30", AtOnce: "I30"),
        new(Quirk.ListenersHeldWhileTold, "F01",
            "an unmap holds the lock of the list of listeners while it tells them; one that unpins takes the container's lock, which others hold while they wait for the list",
            "the listeners are told without a lock", "I27 I28 V01", AtOnce: "I27 I28"),
        new(Quirk.SecondBindDropsVm, "F07",
            "binding a second file of a bound device takes the VM before it fails, and then gives up that of the first",
            "whether the device is bound is looked at first", "I17 I18 I30 I35", AtOnce: "I30"),
        new(Quirk.ForeignAssociationEnds, "F16",
            "taking a file from a VM ends its association even if another VM has it meanwhile",
            "only a VM's own association ends", "R1", AtOnce: "R1"),
        new(Quirk.GroupMayCloseFirst, "F18",
            "with an iommufd an open device does not keep the file of its group",
            "the file of the group lives as long as a device that was opened through it", "M100"),
        new(Quirk.FunctionLeftBehind, "F14",
            "a PCI function that cannot be enabled for a VM stays disabled; one that cannot be disabled at the close keeps the VM's designation in the firmware",
            "it is enabled for the host again; disabling is tried a second time", "I30 I35"),
        new(Quirk.LooksThenTakes, "F20",
            "a vGPU looks whether another has its VM, and takes the place later: two of different device sets can have one VM",
            "looking and taking are one", "M089 V06", AtOnce: "M089"),
        new(Quirk.RunningScanShared, "ap-bus.md 5",
            "who asks for a scan while another runs shares that one, which may have looked before what the asker changed",
            "it returns after a scan that began later", "V06"),
        new(Quirk.TextCutInLine, "QUIRKS 37",
            "a matrix text of more than 4095 bytes is cut in the middle of a line",
            "it is cut at a line's end", ""),
    ];

    /// <summary>What is known of a quirk.</summary>
    /// <param name="quirk">The quirk.</param>
    public static QuirkEntry Entry(this Quirk quirk) => Entries[(int)quirk];

    /// <summary>Number of the finding that describes a quirk.</summary>
    /// <param name="quirk">The quirk.</param>
    public static string Finding(this Quirk quirk) => Entries[(int)quirk].Finding;
}

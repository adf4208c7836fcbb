namespace Apvirt.Designs;

/// <summary>One design of the catalogue.</summary>
/// <param name="Name">Its name.</param>
/// <param name="About">What it is.</param>
/// <param name="Mission">The requirements that it is from.</param>
/// <param name="Make">Makes it anew for an execution.</param>
/// <param name="Defect">What its defect begins with; null if it has none.</param>
public sealed record CatalogueEntry(string Name, string About, string Mission, Func<Design> Make, string? Defect);

/// <summary>The historical designs that can be explored, each with its defect, and what became of it without.</summary>
public static class Catalogue
{
    /// <summary>All designs, oldest first.</summary>
    public static IReadOnlyList<CatalogueEntry> All { get; } =
    [
        new("A-masks", "one lock: a mask store against an assignment", "M022", () => new OneLockAndMasks(), DesignSearch.Deadlock),
        new("A-guest", "one lock: interception, secure execution and unbinding", "M033 M034", () => new OneLockAndGuest(), DesignSearch.Deadlock),
        new("B1", "try-lock, ownership looked at without the masks' lock", "M024", () => new StolenQueue(OwnershipTest.Unlocked), "I13"),
        new("B2", "try-lock, ownership looked at inside", "M023 M026", () => new StolenQueue(OwnershipTest.Inside), null),
        new("B2-assigns", "try-lock: two assignments that have nothing to do with each other", "M023", () => new ParallelAssignments(tries: true), "V05"),
        new("C-list-only", "a lock for the list of guests alone", "M047", () => new ListOnly(holdsThroughout: false), "lifetime"),
        new("C-list-held", "the same, held until the guest is not used any more", "M047", () => new ListOnly(holdsThroughout: true), null),
        new("C-early-drop", "the list's lock dropped before the masks are written", "M048", () => new EarlyDrop(dropsEarly: true), "V02"),
        new("C-late-drop", "the same, dropped after", "M048", () => new EarlyDrop(dropsEarly: false), null),
        new("C-node", "a node freed outside the lock under which a hook reaches it", "M049 M052", () => new NodeReachedByHook(freesUnderBoth: false), "lifetime"),
        new("C-node-repaired", "the same, freed under both locks", "M052", () => new NodeReachedByHook(freesUnderBoth: true), null),
        new("D", "the final order: guests_lock, kvm->lock, mdevs_lock", "M058", () => new Sandwich(), null),
        new("D-masks", "the final order: ownership looked at under the masks' lock outside", "M026", () => new StolenQueue(OwnershipTest.Outside), null),
        new("D-assigns", "the final order: two assignments wait for each other", "M023", () => new ParallelAssignments(tries: false), null),
        new("D-interception", "the final order, with an interception that takes guests_lock", "M054", () => new Sandwich(interceptionTakesGuests: true), DesignSearch.Deadlock),
        new("N-lock", "the group's notifier runs its callbacks under the group's lock", "M059 M074", () => new NotifierUnderGroupLock(opensUnderVm: true), DesignSearch.Deadlock),
        new("N-replay", "a device that registers with the notifier while the group's VM is set", "M077 M110", () => new NotifierReplay(), "delivered 2"),
        new("N-replay-read", "the same when the open reads the pointer", "M110", () => new PointerRead(), null),
        new("N-release", "the notifier's release checks its flag in two steps", "M090", () => new NotifiedRelease(losesRelease: true), "released 2"),
        new("N-release-once", "the same, in one step", "M090", () => new NotifiedRelease(losesRelease: false), null),
        new("capture-naive", "a device uses its group's VM without a reference", "M079", () => new OpenAgainstVmEnd(takesReference: false), "I16"),
        new("capture-reference", "the same with a reference, taken under the lock that guards the pointer", "M079", () => new OpenAgainstVmEnd(takesReference: true), null),
        new("capture-each-open", "every open takes the VM, every close gives it back", "M083", () => new TwoOpeners(Capture.EachOpen), "I17"),
        new("capture-first-open", "the first open takes it, the last close gives it back", "M080 M081", () => new TwoOpeners(Capture.FirstOpen), null),
        new("capture-group-lock", "the group's VM is guarded by the group's lock", "locking.md 5", () => new CaptureUnderGroupLock(hasLeafLock: false), DesignSearch.Deadlock),
        new("capture-leaf-lock", "the same with a lock of its own", "locking.md 5", () => new CaptureUnderGroupLock(hasLeafLock: true), null),
        new("put-group-lock", "the last reference is given back under the group's lock", "locking.md 5", () => new PutUnderGroupLock(hasLeafLock: false), DesignSearch.Deadlock),
        new("put-leaf-lock", "the same with a lock of its own", "locking.md 5", () => new PutUnderGroupLock(hasLeafLock: true), null),
        new("unique-two-steps", "a consumer looks for another and takes the place in two steps", "M089", () => new UniqueConsumer(isAtomic: false), "2 consumers"),
        new("unique-atomic", "the same in one", "M089", () => new UniqueConsumer(isAtomic: true), null),
        new("gated", "two locks in either order under a third: a cycle that cannot be", "locking.md 6", () => new GatedPair(), null),
    ];
}

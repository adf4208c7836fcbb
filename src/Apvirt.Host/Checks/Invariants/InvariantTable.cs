namespace Apvirt.Host.Checks.Invariants;

/// <summary>The invariants that are looked at. Some remember what they saw, so each host has its own.</summary>
public static class InvariantTable
{
    /// <summary>Makes them.</summary>
    /// <param name="hasPci">Whether the host has PCI functions.</param>
    public static IReadOnlyList<Invariant> Create(bool hasPci) =>
    [
        new ExclusiveAssignment(), new ExclusiveGuestAccess(), new NoHostGuestOverlap(), new ShadowBound(), new HardwareIsShadow(),
        new UnattachedIsEmpty(), new ControlDomains(), new Limits(), new LinkIffBoundAndAssigned(), new BackPointer(),
        new ResetBeforeReuse(), new AssignedNotReserved(), new OneMdevPerMachine(), new ReferenceAccounting(), new PinnedNib(), new PinsAreMapped(),
        new PinBalance(), new IscReferences(), new Instances(), new Deferral(), new FilterFixpoint(), new BindingConverges(),
        new AivIffGisa(), new ImmutableKvm(), new DriverOpens(), new GroupUse(), new GroupFileKept(), new InterruptsDelivered(),
        .. hasPci ? OfPci() : [],
    ];

    private static IReadOnlyList<Invariant> OfPci() => [new Designation(), new ForwardingUse(), new Translations(), new EnabledForHost(), new VgpuUse()];
}

namespace Apvirt.Ap.Profiles;

/// <summary>
/// The places where Linux 6.12 answers otherwise than its own rules would have it. Code asks for a quirk at the place of
/// the defect and nowhere else; <see cref="QuirkTable"/> says what each one is.
/// </summary>
public enum Quirk
{
    /// <summary>Removing a domain does not filter again.</summary>
    NoFilterAfterRemoval,
    /// <summary>A queue unassigned while not plugged keeps its pointer to the mdev and is not reset.</summary>
    StaleQueueLink,
    /// <summary>A failed AQIC enable leaks the new pin and ISC reference.</summary>
    FailedEnableLeaks,
    /// <summary>Interrupt resources are freed although disabling never succeeded.</summary>
    GivesUpWhileArmed,
    /// <summary>An unmap from address 0 disarms queues without a NIB.</summary>
    UnmapFromZeroDisarms,
    /// <summary>An unexpected TAPQ code ends a reset with the ZAPQ code kept.</summary>
    UnexpectedCodeEndsReset,
    /// <summary>The result of a reset counts at the next filtering only.</summary>
    ResetDoesNotFilter,
    /// <summary>AQIC without a hook stores its status in the upper half of the register.</summary>
    StatusInUpperHalf,
    /// <summary>A mask change looks at the driver of a queue without the lock of the device.</summary>
    BindingReadUnlocked,
    /// <summary>The type of a new adapter is only asked for newly added domains.</summary>
    TypeAskedForNewDomainsOnly,
    /// <summary>ap_config is shown without a lock.</summary>
    UnlockedConfigShow,
    /// <summary>The device-request eventfd survives the last close.</summary>
    RequestTriggerSurvivesClose,
    /// <summary>The limits of a new mdev are read from the host's configuration without a lock.</summary>
    UnlockedInitialisation,
    /// <summary>A new mdev can be opened before it is on the list of mdevs.</summary>
    OfferedBeforeListed,
    /// <summary>An mdev whose removal is refused has lost its <c>remove</c>.</summary>
    RemoveGoesFirst,
    /// <summary>Verifying a reset has no bound.</summary>
    EndlessReset,
    /// <summary>A GISA that goes and comes back with secure execution forgets what was registered.</summary>
    SubclassesForgotten,
    /// <summary>A failed start of secure execution leaves its masks and areas.</summary>
    EnableFailureLeavesTraces,
    /// <summary>An unmap holds the list of unmap listeners while it tells them.</summary>
    ListenersHeldWhileTold,
    /// <summary>A second bind of a device's own file takes the VM from the first.</summary>
    SecondBindDropsVm,
    /// <summary>Taking a file from a VM ends another VM's association too.</summary>
    ForeignAssociationEnds,
    /// <summary>The file of a group with an iommufd may be closed before its devices.</summary>
    GroupMayCloseFirst,
    /// <summary>A PCI function whose association fails stays disabled; one that cannot be disabled keeps its designation.</summary>
    FunctionLeftBehind,
    /// <summary>A vGPU looks for another of its VM, and attaches later.</summary>
    LooksThenTakes,
    /// <summary>A scan that is asked for while another runs is that one.</summary>
    RunningScanShared,
    /// <summary>Long matrix texts are cut in the middle of a line.</summary>
    TextCutInLine,
}

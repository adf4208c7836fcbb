namespace Apvirt.Vfio;

/// <summary>Where Linux 6.12 does otherwise than its own rules would have it; all off is as it should be.</summary>
public sealed record VfioBehaviour
{
    /// <summary>An unmap holds the list of listeners while it tells them (F01).</summary>
    public bool HoldsListenersOverCallbacks { get; init; }

    /// <summary>A second bind of a device takes the VM before it sees that the device is bound, and gives up that of the first (F07).</summary>
    public bool CapturesBeforeCounting { get; init; }

    /// <summary>Taking a file from a VM also ends the association that another VM has made meanwhile (F16).</summary>
    public bool EndsForeignAssociation { get; init; }

    /// <summary>An open device does not keep the file of its group if the group uses an iommufd (F18).</summary>
    public bool GroupMayCloseFirst { get; init; }
}

using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.VfioAp.Queues;

/// <summary>
/// A queue device that is bound to the driver. It lives from probe to remove. Its mdev stands for the queue being
/// assigned; it says nothing about what the guest has (M007).
/// </summary>
public sealed class VfioApQueue
{
    /// <summary>Interruption subclass that means none.</summary>
    public const byte NoIsc = 0xff;

    internal VfioApQueue(ApQueue device, QueueRow row)
    {
        Device = device;
        Apqn = device.Apqn;
        Row = row;
    }

    /// <summary>The device.</summary>
    public ApQueue Device { get; }

    /// <summary>The queue's number.</summary>
    public Apqn Apqn { get; }

    /// <summary>The mdev that the queue is linked to; see quirk StaleQueueLink for the exception. Under mdevs_lock.</summary>
    public MatrixMdev? Mdev { get; internal set; }

    /// <summary>Response code of the last reset; 00 for a queue that was never reset. Under mdevs_lock.</summary>
    public ApResponse ResetStatus { get; private set; }

    /// <summary>Guest address of the pinned notification byte, 0 for none. Under mdevs_lock.</summary>
    public ulong SavedNib { get; internal set; }

    /// <summary>Registered guest subclass, <see cref="NoIsc"/> for none. Under mdevs_lock.</summary>
    public byte SavedIsc { get; internal set; } = NoIsc;

    /// <summary>Whether interrupt resources are to be freed.</summary>
    internal bool HasInterruptResources => SavedNib != 0 || SavedIsc != NoIsc;

    internal QueueRow Row { get; }

    /// <summary>Stores the code of a reset; it decides whether the queue can be given to a guest (vfio-ap.md §3).</summary>
    internal void SetResetStatus(ApResponse code)
    {
        if (code == ResetStatus)
            return;
        ResetStatus = code;
        Row.SetPassable(Apqn.Apqi, code is ApResponse.Normal or ApResponse.Deconfigured or ApResponse.Checkstopped);
    }
}

using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.VfioAp.Queues;

/// <summary>What an armed interrupt ties up.</summary>
/// <param name="Nib">Guest address of the pinned notification byte, 0 for none.</param>
/// <param name="Isc">Registered guest subclass, 0xff for none.</param>
public readonly record struct QueueInterrupt(ulong Nib, byte Isc)
{
    private const byte NoIsc = 0xff;

    /// <summary>Nothing is tied up.</summary>
    public static QueueInterrupt None { get; } = new(0, NoIsc);

    /// <summary>Whether a guest subclass is registered.</summary>
    public bool HasIsc => Isc != NoIsc;

    /// <summary>Whether anything is to be freed.</summary>
    public bool IsAny => Nib != 0 || HasIsc;
}

/// <summary>
/// A queue device that is bound to the driver. It lives from probe to remove. Its mdev stands for the queue being
/// assigned; it says nothing about what the guest has (M007).
/// </summary>
public sealed class VfioApQueue
{
    // All under mdevs_lock (VfioApGuards).
    private Guarded<MatrixMdev?> _mdev;
    private Guarded<QueueInterrupt> _interrupt = new(QueueInterrupt.None);
    private Guarded<ApResponse> _resetStatus;

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

    /// <summary>The mdev that the queue is linked to, for observers; see quirk StaleQueueLink for the exception.</summary>
    public MatrixMdev? Mdev => _mdev.Glance(Matrix.Model.Runtime, this, VfioApGuards.Back);

    /// <summary>Response code of the last reset, for observers; 00 for a queue that was never reset.</summary>
    public ApResponse ResetStatus => _resetStatus.Glance(Matrix.Model.Runtime, this, VfioApGuards.ResetStatus);

    /// <summary>What the last AQIC tied up, for observers.</summary>
    public QueueInterrupt Interrupt => _interrupt.Glance(Matrix.Model.Runtime, this, VfioApGuards.Interrupt);

    /// <inheritdoc/>
    public override string ToString() => $"queue {Apqn}";

    internal QueueRow Row { get; }

    internal MatrixDevice Matrix => Row.Matrix;

    internal MatrixMdev? ReadMdev(KernelTask task) => _mdev.Read(task, this, VfioApGuards.Back);

    internal void SetMdev(UpdateLocks locks, MatrixMdev? mdev)
    {
        PointTo(locks, mdev);
        Row.SetPointing(locks, ApMask.Of(Apqn.Apqi), mdev is not null);
    }

    /// <summary>Sets the link for somebody who then tells the row, of many queues at once.</summary>
    internal void PointTo(UpdateLocks locks, MatrixMdev? mdev) => _mdev.Write(locks.Task, this, VfioApGuards.Back, mdev);

    internal QueueInterrupt ReadInterrupt(KernelTask task) => _interrupt.Read(task, this, VfioApGuards.Interrupt);

    internal void SetInterrupt(KernelTask task, QueueInterrupt interrupt) =>
        _interrupt.Write(task, this, VfioApGuards.Interrupt, interrupt);

    internal ApResponse ReadResetStatus(KernelTask task) => _resetStatus.Read(task, this, VfioApGuards.ResetStatus);

    /// <summary>Stores the code of a reset; it decides whether the queue can be given to a guest (vfio-ap.md §3).</summary>
    internal void SetResetStatus(KernelTask task, ApResponse code)
    {
        if (code == ReadResetStatus(task))
            return;
        _resetStatus.Write(task, this, VfioApGuards.ResetStatus, code);
        Row.SetPassable(task, Apqn.Apqi, code is ApResponse.Normal or ApResponse.Deconfigured or ApResponse.Checkstopped);
    }
}

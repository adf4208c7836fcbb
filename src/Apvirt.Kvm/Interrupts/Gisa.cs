using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kvm.Interrupts;

/// <summary>
/// The guest interruption state area of a VM: how many queues and functions deliver to each guest interruption subclass,
/// and which subclasses alert the host (kvm.md §6).
/// </summary>
public sealed class Gisa
{
    /// <summary>Number of guest interruption subclasses.</summary>
    public const int SubclassCount = 8;

    /// <summary>The host's own subclass for adapter interrupts of guests.</summary>
    public const int HostSubclass = 6;

    private static readonly LockClass RefClass = new("gisa ref_lock", LockKind.Spin);

    // L27, a leaf. Guards _counts and AlertMask.
    private readonly KernelSpinLock _refLock = new(RefClass);
    private readonly int[] _counts = new int[SubclassCount];

    /// <summary>Makes the area.</summary>
    /// <param name="exists">Whether the VM has one; without it registrations are refused.</param>
    /// <param name="designation">What the hardware is told; not zero.</param>
    public Gisa(bool exists, uint designation)
    {
        Exists = exists;
        Designation = exists ? designation : 0;
    }

    /// <summary>Whether the VM has a GISA.</summary>
    public bool Exists { get; }

    /// <summary>The designation for AQIC, 0 if there is none.</summary>
    public uint Designation { get; }

    /// <summary>Subclasses that alert the host, 0x80 for subclass 0.</summary>
    public byte AlertMask { get; private set; }

    /// <summary>The reference counts now, one for each subclass.</summary>
    public IReadOnlyList<int> Counts => [.. _counts];

    /// <summary>Counts a queue or function that delivers to a subclass.</summary>
    /// <param name="task">The registering task.</param>
    /// <param name="subclass">Guest subclass, 0 to 7.</param>
    /// <param name="hostSubclass">The host's subclass to use.</param>
    /// <returns>ENODEV without a GISA, ERANGE for a subclass above 7.</returns>
    public Errno Register(KernelTask task, int subclass, out int hostSubclass)
    {
        hostSubclass = HostSubclass;
        if (!Exists)
            return Errno.ENODEV;
        if (subclass is < 0 or >= SubclassCount)
            return Errno.ERANGE;
        using KernelSpinLock.Section section = _refLock.Lock(task);
        if (_counts[subclass]++ == 0)
            AlertMask |= (byte)(0x80 >> subclass);
        return Errno.Ok;
    }

    /// <summary>Takes a registration back.</summary>
    /// <param name="task">The task.</param>
    /// <param name="subclass">Guest subclass, 0 to 7.</param>
    /// <returns>ENODEV, ERANGE as for <see cref="Register"/>; EINVAL if there is no registration.</returns>
    public Errno Unregister(KernelTask task, int subclass)
    {
        if (!Exists)
            return Errno.ENODEV;
        if (subclass is < 0 or >= SubclassCount)
            return Errno.ERANGE;
        using KernelSpinLock.Section section = _refLock.Lock(task);
        if (_counts[subclass] == 0)
            return Errno.EINVAL;
        if (--_counts[subclass] == 0)
            AlertMask &= (byte)~(0x80 >> subclass);
        return Errno.Ok;
    }
}

using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kvm.Interrupts;

/// <summary>
/// The guest interruption state area of a VM: how many queues and functions deliver to each guest interruption subclass,
/// and which subclasses alert the host (kvm.md §6).
/// </summary>
public sealed partial class Gisa
{
    /// <summary>Number of guest interruption subclasses.</summary>
    public const int SubclassCount = 8;

    /// <summary>The host's own subclass for adapter interrupts of guests.</summary>
    public const int HostSubclass = 6;

    internal static readonly LockClass RefClass = new("gisa ref_lock", LockKind.Spin);

    // L27, a leaf. Guards _counts, _alertMask, _exists and all of Delivery.
    internal KernelSpinLock RefLock { get; } = new(RefClass);

    private Guarded<int[]> _counts = new(new int[SubclassCount]);
    private Guarded<byte> _alertMask;
    private Guarded<bool> _exists;
    private readonly uint _designation;

    /// <summary>Makes the area.</summary>
    /// <param name="exists">Whether the VM has one; without it registrations are refused.</param>
    /// <param name="designation">What the hardware is told; not zero.</param>
    public Gisa(bool exists, uint designation)
    {
        IsPossible = exists;
        _exists = new(exists);
        _designation = designation;
    }

    /// <summary>Whether the VM can have a GISA at all.</summary>
    public bool IsPossible { get; }

    /// <summary>Whether the VM has a GISA now; a secure guest has none if the ultravisor does not virtualise adapter interrupts.</summary>
    public bool Exists => _exists.Peek;

    /// <summary>The designation for AQIC, 0 if there is none.</summary>
    public uint Designation => Exists ? _designation : 0;

    /// <summary>Subclasses that alert the host, 0x80 for subclass 0.</summary>
    public byte AlertMask => _alertMask.Peek;

    /// <summary>The finding that predicts registrations left over at the VM's end; null if none is expected.</summary>
    public string? LeakedBy { get; set; }

    /// <summary>The reference counts now, one for each subclass.</summary>
    public IReadOnlyList<int> Counts => [.. _counts.Peek];

    /// <summary>Counts a queue or function that delivers to a subclass.</summary>
    /// <param name="task">The registering task.</param>
    /// <param name="subclass">Guest subclass, 0 to 7.</param>
    /// <param name="hostSubclass">The host's subclass to use.</param>
    /// <returns>ENODEV without a GISA, ERANGE for a subclass above 7.</returns>
    public Errno Register(KernelTask task, int subclass, out int hostSubclass)
    {
        hostSubclass = HostSubclass;
        using KernelSpinLock.Section section = RefLock.Lock(task);
        if (!_exists.Read(task, this, KvmGuards.Subclasses))
            return Errno.ENODEV;
        if (subclass is < 0 or >= SubclassCount)
            return Errno.ERANGE;
        if (_counts.Change(task, this, KvmGuards.Subclasses)[subclass]++ == 0)
        {
            _alertMask.Change(task, this, KvmGuards.Subclasses) |= (byte)(0x80 >> subclass);
            SetAlerting(task);
        }
        return Errno.Ok;
    }

    /// <summary>Takes a registration back.</summary>
    /// <param name="task">The task.</param>
    /// <param name="subclass">Guest subclass, 0 to 7.</param>
    /// <param name="forgets">Whether a registration is forgotten, not taken back, while there is no GISA (F19).</param>
    /// <returns>ENODEV, ERANGE as for <see cref="Register"/>; EINVAL if there is no registration.</returns>
    public Errno Unregister(KernelTask task, int subclass, bool forgets = false)
    {
        using KernelSpinLock.Section section = RefLock.Lock(task);
        bool exists = _exists.Read(task, this, KvmGuards.Subclasses);
        if (!exists && (forgets || !IsPossible))
            return Errno.ENODEV;
        if (subclass is < 0 or >= SubclassCount)
            return Errno.ERANGE;
        int[] counts = _counts.Change(task, this, KvmGuards.Subclasses);
        if (counts[subclass] == 0)
            return Errno.EINVAL;
        if (--counts[subclass] == 0)
        {
            _alertMask.Change(task, this, KvmGuards.Subclasses) &= (byte)~(0x80 >> subclass);
            SetAlerting(task);
        }
        return Errno.Ok;
    }

    /// <summary>Takes the GISA from a VM that becomes secure; registrations stay counted.</summary>
    internal void Destroy(KernelTask task, Profile profile)
    {
        using KernelSpinLock.Section section = RefLock.Lock(task);
        _exists.Write(task, this, KvmGuards.Subclasses, false);
        if (_alertMask.Read(task, this, KvmGuards.Subclasses) != 0 && profile.Has(Quirk.SubclassesForgotten))
            LeakedBy = Quirk.SubclassesForgotten.Finding();
        _alertMask.Write(task, this, KvmGuards.Subclasses, 0);
        ClearDelivery(task);
    }

    /// <summary>Gives the VM its GISA back. In 6.12 it alerts for nothing that was registered before (F19).</summary>
    internal void Initialise(KernelTask task, Profile profile)
    {
        using KernelSpinLock.Section section = RefLock.Lock(task);
        _exists.Write(task, this, KvmGuards.Subclasses, true);
        if (profile.Has(Quirk.SubclassesForgotten))
            return;
        int[] counts = _counts.Read(task, this, KvmGuards.Subclasses);
        byte mask = 0;
        for (int subclass = 0; subclass < SubclassCount; subclass++)
            mask |= (byte)(counts[subclass] > 0 ? 0x80 >> subclass : 0);
        _alertMask.Write(task, this, KvmGuards.Subclasses, mask);
        SetAlerting(task);
    }

    /// <summary>The VM ends.</summary>
    internal void End() => _timer?.Cancel();
}

using System.Runtime.CompilerServices;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Work;

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
    internal KernelSpinLock RefLock { get; }

    private Guarded<SubclassCounts> _counts;
    private Guarded<byte> _alertMask;
    private Guarded<bool> _exists;
    private readonly KernelRuntime _runtime;
    private readonly string _name;
    private readonly uint _designation;

    /// <summary>Makes the area.</summary>
    /// <param name="runtime">The runtime of those who use it.</param>
    /// <param name="name">Name for reports.</param>
    /// <param name="exists">Whether the VM has one; without it registrations are refused.</param>
    /// <param name="designation">What the hardware is told; not zero.</param>
    public Gisa(KernelRuntime runtime, string name, bool exists, uint designation)
    {
        _runtime = runtime;
        _name = name;
        RefLock = new KernelSpinLock(RefClass, owner: this);
        _timer = new KernelTimer(runtime, "kick timer", Kick);
        IsPossible = exists;
        _exists = new(exists);
        _designation = designation;
    }

    /// <summary>Whether the VM can have a GISA at all.</summary>
    public bool IsPossible { get; }

    /// <summary>Whether the VM has a GISA now, for observers; a secure guest has none if the ultravisor does not virtualise adapter interrupts.</summary>
    public bool Exists => _exists.Glance(_runtime, this, KvmGuards.Subclasses);

    /// <summary>The designation for AQIC, 0 if there is none; for observers.</summary>
    public uint Designation => Exists ? _designation : 0;

    /// <summary>Subclasses that alert the host, 0x80 for subclass 0; for observers.</summary>
    public byte AlertMask => _alertMask.Glance(_runtime, this, KvmGuards.Subclasses);

    /// <summary>The reference counts now, one for each subclass; for observers.</summary>
    public IReadOnlyList<int> Counts
    {
        get
        {
            SubclassCounts counts = _counts.Glance(_runtime, this, KvmGuards.Subclasses);
            return [.. counts[..]];
        }
    }

    /// <inheritdoc/>
    public override string ToString() => _name;

    /// <summary>Whether the VM has a GISA. That stays so while the task holds kvm->lock: the GISA comes and goes with secure execution alone.</summary>
    /// <param name="task">The task.</param>
    public bool ReadExists(KernelTask task)
    {
        using KernelSpinLock.Section section = RefLock.Lock(task);
        return _exists.Read(task, this, KvmGuards.Subclasses);
    }

    /// <summary>The designation, 0 if there is none; as <see cref="ReadExists"/>.</summary>
    /// <param name="task">The task.</param>
    public uint ReadDesignation(KernelTask task) => ReadExists(task) ? _designation : 0;

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
        ref SubclassCounts counts = ref _counts.Change(task, this, KvmGuards.Subclasses);
        if (++counts[subclass] == 1)
        {
            _alertMask.Change(task, this, KvmGuards.Subclasses) |= (byte)(0x80 >> subclass);
            SetAlerting(task);
        }
        return Errno.Ok;
    }

    /// <summary>Takes a registration back.</summary>
    /// <param name="task">The task.</param>
    /// <param name="subclass">Guest subclass, 0 to 7.</param>
    /// <param name="profile">Whether a registration is forgotten, not taken back, while there is no GISA (F19); null for no.</param>
    /// <returns>ENODEV, ERANGE as for <see cref="Register"/>; EINVAL if there is no registration.</returns>
    public Errno Unregister(KernelTask task, int subclass, Profile? profile = null)
    {
        using KernelSpinLock.Section section = RefLock.Lock(task);
        bool exists = _exists.Read(task, this, KvmGuards.Subclasses);
        if (!exists && (!IsPossible || profile?.Deviates(task, Quirk.SubclassesForgotten) == true))
            return Errno.ENODEV;
        if (subclass is < 0 or >= SubclassCount)
            return Errno.ERANGE;
        ref SubclassCounts counts = ref _counts.Change(task, this, KvmGuards.Subclasses);
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
    internal void Destroy(KernelTask task)
    {
        using KernelSpinLock.Section section = RefLock.Lock(task);
        _exists.Write(task, this, KvmGuards.Subclasses, false);
        _alertMask.Write(task, this, KvmGuards.Subclasses, 0);
        ClearDelivery(task);
    }

    /// <summary>Gives the VM its GISA back. In 6.12 it alerts for nothing that was registered before (F19).</summary>
    internal void Initialise(KernelTask task, Profile profile)
    {
        using KernelSpinLock.Section section = RefLock.Lock(task);
        _exists.Write(task, this, KvmGuards.Subclasses, true);
        SubclassCounts counts = _counts.Read(task, this, KvmGuards.Subclasses);
        byte mask = 0;
        for (int subclass = 0; subclass < SubclassCount; subclass++)
            mask |= (byte)(counts[subclass] > 0 ? 0x80 >> subclass : 0);
        if (mask == 0 || profile.Deviates(task, Quirk.SubclassesForgotten))
            return;
        _alertMask.Write(task, this, KvmGuards.Subclasses, mask);
        SetAlerting(task);
    }

    /// <summary>The VM ends.</summary>
    internal void End() => _timer.Cancel();

    // By subclass, in place, so that counting allocates nothing.
    [InlineArray(SubclassCount)]
    [OwnedBy("It is a value; the field that has it is guarded.")]
    private struct SubclassCounts
    {
        private int _first;
    }
}

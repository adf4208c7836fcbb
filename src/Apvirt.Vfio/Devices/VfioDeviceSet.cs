using System.Collections.Immutable;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Vfio.Devices;

/// <summary>
/// Devices that open and close one at a time, because their driver resets them together. A device is alone in its set
/// unless its driver says otherwise (vfio.md §1).
/// </summary>
public sealed class VfioDeviceSet
{
    internal static readonly LockClass SetClass = new("dev_set->lock", LockKind.Mutex);

    private readonly KernelRuntime _runtime;
    private readonly string _name;
    private readonly SharedState<ImmutableArray<VfioDevice>> _devices;

    /// <summary>Makes a set without devices.</summary>
    /// <param name="runtime">The runtime of those who use it.</param>
    /// <param name="name">Name for reports.</param>
    public VfioDeviceSet(KernelRuntime runtime, string name)
    {
        _runtime = runtime;
        _name = name;
        Lock = new KernelMutex(SetClass, owner: this);
        _devices = new SharedState<ImmutableArray<VfioDevice>>(this, VfioFields.SetDevices, []);
    }

    /// <summary>dev_set->lock (L8): guards open_count, kvm and use of each device of the set.</summary>
    public KernelMutex Lock { get; }

    /// <summary>The devices of the set that are registered.</summary>
    public IReadOnlyList<VfioDevice> Devices
    {
        get
        {
            using SharedState<ImmutableArray<VfioDevice>>.Section section = _devices.Enter(_runtime, AccessKind.Read);
            return section.Value;
        }
    }

    /// <summary>Open files over all devices of the set, for observers.</summary>
    public int OpenCount => Devices.Sum(device => device.OpenCount);

    /// <inheritdoc/>
    public override string ToString() => $"set of {_name}";

    internal void Add(VfioDevice device)
    {
        using SharedState<ImmutableArray<VfioDevice>>.Section section = _devices.Enter(_runtime, AccessKind.Write);
        section.Value = section.Value.Add(device);
    }

    internal void Remove(VfioDevice device)
    {
        using SharedState<ImmutableArray<VfioDevice>>.Section section = _devices.Enter(_runtime, AccessKind.Write);
        section.Value = section.Value.Remove(device);
    }
}

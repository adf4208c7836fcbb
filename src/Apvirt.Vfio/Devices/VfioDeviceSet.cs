using Apvirt.Kernel.Locking;

namespace Apvirt.Vfio.Devices;

/// <summary>
/// Devices that open and close one at a time, because their driver resets them together. A device is alone in its set
/// unless its driver says otherwise (vfio.md §1).
/// </summary>
public sealed class VfioDeviceSet
{
    internal static readonly LockClass SetClass = new("dev_set->lock", LockKind.Mutex);

    // Guards the list; a leaf.
    private readonly Lock _gate = new();
    private readonly List<VfioDevice> _devices = [];

    /// <summary>dev_set->lock (L8): guards open_count, kvm and use of each device of the set.</summary>
    public KernelMutex Lock { get; } = new(SetClass);

    /// <summary>The devices of the set that are registered.</summary>
    public IReadOnlyList<VfioDevice> Devices
    {
        get
        {
            lock (_gate)
                return [.. _devices];
        }
    }

    /// <summary>Open files over all devices of the set, for observers.</summary>
    public int OpenCount => Devices.Sum(device => device.OpenCount);

    internal void Add(VfioDevice device)
    {
        lock (_gate)
            _devices.Add(device);
    }

    internal void Remove(VfioDevice device)
    {
        lock (_gate)
            _devices.Remove(device);
    }
}

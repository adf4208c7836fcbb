using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Vfio.Mdev;

/// <summary>A mediated device (sysfs.md §5): named by its UUID, below its parent, of one of the parent's types.</summary>
public abstract class MdevDevice : Device
{
    private static readonly DeviceLockClasses Classes = new("mdev");

    private static readonly AttributeTable Table = new(
    [
        new SysfsAttribute<MdevDevice>("remove", SysfsMode.WriteOnly, store: static (task, mdev, text) => mdev.StoreRemoveAsync(task, text))
        {
            RemovesItsOwner = true,
        },
    ]);

    private int _isRemoving;

    /// <summary>Makes a device that is not registered yet.</summary>
    /// <param name="type">Its type.</param>
    /// <param name="uuid">Its name.</param>
    protected MdevDevice(MdevType type, Guid uuid)
        : base(type.Parent.Device.Model, uuid.ToString("D"), type.Parent.Device, Classes)
    {
        Type = type;
        Uuid = uuid;
    }

    /// <summary>The type.</summary>
    public MdevType Type { get; }

    /// <summary>The name.</summary>
    public Guid Uuid { get; }

    /// <inheritdoc/>
    public override AttributeTable Attributes => Table;

    /// <inheritdoc/>
    public override bool TryFind(ReadOnlySpan<char> name, out SysfsEntry entry)
    {
        if (name is not "mdev_type")
            return base.TryFind(name, out entry);
        entry = SysfsEntry.LinkTo("mdev_type", Type);
        return true;
    }

    /// <inheritdoc/>
    public override IEnumerable<SysfsEntry> List() => base.List().Append(SysfsEntry.LinkTo("mdev_type", Type));

    // A second writer that comes while the first one removes gets its count back and nothing happens.
    private async ValueTask<Errno> StoreRemoveAsync(KernelTask task, ReadOnlyMemory<byte> text)
    {
        if (SysfsNumber.ParseUnsigned(text.Span, out ulong value) != Errno.Ok)
            return Errno.EINVAL;
        if (value == 0 || Interlocked.Exchange(ref _isRemoving, 1) != 0)
            return Errno.Ok;
        return await Type.Parent.RemoveAsync(task, this);
    }
}

using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Vfio.Mdev;

/// <summary>A mediated device (sysfs.md §5): named by its UUID, below its parent, of one of the parent's types.</summary>
public abstract class MdevDevice : Device
{
    private const string RemoveName = "remove";

    private static readonly DeviceLockClasses Classes = new("mdev");

    private static readonly AttributeTable Table = new(
    [
        new SysfsAttribute<MdevDevice>(RemoveName, SysfsMode.WriteOnly, store: static (task, mdev, text) => mdev.StoreRemoveAsync(task, text))
        {
            RemovesItsOwner = true,
        },
    ]);

    private Shared<bool> _isRemoveGone;

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
        entry = default;
        if (name is RemoveName && IsRemoveGone)
            return false;
        if (name is not "mdev_type")
            return base.TryFind(name, out entry);
        entry = SysfsEntry.LinkTo("mdev_type", Type);
        return true;
    }

    /// <inheritdoc/>
    public override IEnumerable<SysfsEntry> List() => base.List()
        .Where(entry => !IsRemoveGone || !string.Equals(entry.Name, RemoveName, StringComparison.Ordinal))
        .Append(SysfsEntry.LinkTo("mdev_type", Type));

    private bool IsRemoveGone => _isRemoveGone.Read(Model.Runtime, this, VfioFields.RemoveGone);

    // Who comes when the attribute has gone, and has it open already, gets its count back and nothing happens (vfio.md §10).
    private async ValueTask<Errno> StoreRemoveAsync(KernelTask task, ReadOnlyMemory<byte> text)
    {
        if (SysfsNumber.ParseUnsigned(text.Span, out ulong value) != Errno.Ok)
            return Errno.EINVAL;
        if (value == 0)
            return Errno.Ok;
        await task.NextStepAsync("remove");
        bool goesFirst = Type.Parent.Bus.Profile.Has(Quirk.RemoveGoesFirst);
        if (goesFirst && !TakeRemoveAway())
            return Errno.Ok;
        Errno error = await Type.Parent.RemoveAsync(task, this);
        if (error != Errno.Ok && Type.Parent.Bus.Profile.Deviates(task, Quirk.RemoveGoesFirst))
            ReportNoRemove(task, error);
        return error != Errno.Ok && !goesFirst && IsRemoveGone ? Errno.Ok : error;
    }

    /// <summary>The attribute that removes the device goes.</summary>
    /// <returns>Whether it was still there.</returns>
    internal bool TakeRemoveAway()
    {
        if (_isRemoveGone.Exchange(Model.Runtime, this, VfioFields.RemoveGone, true))
            return false;
        Model.Tree.Gone(this, RemoveName);
        return true;
    }

    /// <summary>The attribute is there again, as the device stays.</summary>
    internal void GiveRemoveBack() => _isRemoveGone.Write(Model.Runtime, this, VfioFields.RemoveGone, false);

    private void ReportNoRemove(KernelTask task, Errno error) => task.Checks?.Report(
        task, ViolationKind.Invariant, "I30", $"removing {Name} ended with {error}, and it has no remove any more");
}

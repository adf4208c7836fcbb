using Apvirt.Devices.Sysfs;
using Apvirt.Kernel.Locking;

namespace Apvirt.Vfio.Mdev;

/// <summary>A type directory below <c>mdev_supported_types</c> (sysfs.md §4).</summary>
public sealed class MdevType : SysfsDirectory
{
    private static readonly LockClass FilesClass = new("kn_active(mdev type)", LockKind.ActiveReference);

    private static readonly AttributeTable Table = new(
    [
        new SysfsAttribute<MdevType>("create", SysfsMode.WriteOnly, store: static (task, type, text) => type.Parent.CreateAsync(task, type, text)),
        new SysfsAttribute<MdevType>("device_api", (type, text) => text.Append(type.Parent.Driver.DeviceApi).AppendLine()),
        new SysfsAttribute<MdevType>("name", (type, text) => text.Append(type.PrettyName).AppendLine()),
        new SysfsAttribute<MdevType>("available_instances", (type, text) => text.AppendDecimal(type.Parent.AvailableInstances).AppendLine()),
    ]);

    internal MdevType(SysfsDirectory directory, MdevParent parent, string name, string prettyName)
        : base($"{parent.Driver.ModuleName}-{name}", directory, FilesClass)
    {
        Parent = parent;
        PrettyName = prettyName;
        DevicesDirectory = AddDirectory("devices");
    }

    /// <summary>The parent whose type it is.</summary>
    public new MdevParent Parent { get; }

    /// <summary>What <c>name</c> shows.</summary>
    public string PrettyName { get; }

    /// <summary>The links to the devices of the type.</summary>
    public SysfsDirectory DevicesDirectory { get; }

    /// <inheritdoc/>
    public override AttributeTable Attributes => Table;
}

using Apvirt.Devices.Sysfs;

namespace Apvirt.Devices.Core;

/// <summary>The <c>power</c> directory of a device without power management (sysfs.md §0). Made when somebody looks.</summary>
internal sealed class PowerDirectory(Device device) : SysfsDirectory("power", device)
{
    private static readonly AttributeTable Table = new(
    [
        new SysfsAttribute<PowerDirectory>("autosuspend_delay_ms", SysfsMode.ReadWrite),
        new SysfsAttribute<PowerDirectory>("control", static (_, text) => text.Append("auto\n"u8), SysfsMode.ReadWrite),
        new SysfsAttribute<PowerDirectory>("runtime_active_time", static (_, text) => text.Append("0\n"u8)),
        new SysfsAttribute<PowerDirectory>("runtime_status", static (_, text) => text.Append("unsupported\n"u8)),
        new SysfsAttribute<PowerDirectory>("runtime_suspended_time", static (_, text) => text.Append("0\n"u8)),
    ]);

    // Each look makes an object of its own; they are the same directory.
    public override bool Equals(object? obj) => obj is PowerDirectory other && ReferenceEquals(other.Parent, Parent);

    public override int GetHashCode() => Parent!.GetHashCode();

    public override bool TryFind(ReadOnlySpan<char> name, out SysfsEntry entry)
    {
        entry = default;
        if (Table.Find(name) is not { } attribute)
            return false;
        entry = SysfsEntry.File(attribute, this, device.Files);
        return true;
    }

    public override IEnumerable<SysfsEntry> List() =>
        Table.Attributes.ToArray().Select(attribute => SysfsEntry.File(attribute, this, device.Files));
}

using Apvirt.Kernel.Sharing;

namespace Apvirt.Devices;

/// <summary>The fields of this layer that no lock guards, and why none need do so (locking.md §2).</summary>
public static class DeviceFields
{
    /// <summary>The map of a directory's entries, or that there is none.</summary>
    internal static SharedField Children { get; } = new(
        "directory.children", "The map is made once, by whoever adds the first entry, and stays.");

    /// <summary>The entries of a directory.</summary>
    internal static SharedField Entries { get; } = new(
        "directory.entries", "Kernfs finds a name or does not; who holds what behind it is a matter of the references on its files.");

    /// <summary>Who is told of entries that have gone.</summary>
    internal static SharedField EntryGone { get; } = new("tree.entry_gone", "Whoever serves the tree registers before and after all use of it.");

    /// <summary>Whether the page of an open file holds its text.</summary>
    internal static SharedField IsShown { get; } = new(
        "file.is_shown", "Calls on an open file take its mutex; opening it anew, which nobody does while it is open, takes none.");

    /// <summary>Whether a device is in the tree.</summary>
    internal static SharedField IsRegistered { get; } = new(
        "device.is_registered", "Written by who registers the device, and under its lock by who removes it; who finds it without the lock sees one that comes or goes.");

    /// <summary>The bus of a device.</summary>
    internal static SharedField Bus { get; } = new("device.bus", "Written once, when the device is registered.");

    /// <summary>The driver that a device's link shows.</summary>
    internal static SharedField LinkedDriver { get; } = new(
        "device.linked_driver", "Written under the device's lock; whoever looks at the links takes none.");

    /// <summary>The files that a device has while it is bound, with the references on them.</summary>
    internal static SharedField DriverFiles { get; } = new(
        "device.driver_files", "Replaced whole under the device's lock, by others at each bind; whoever looks for a file takes none.");

    /// <summary>The devices of a bus by their names.</summary>
    internal static SharedField DevicesByName { get; } = new("bus.devices_by_name", "The bus's list has a lock of its own in Linux, a leaf; so has this.");

    /// <summary>The devices of a bus in order.</summary>
    internal static SharedField Devices { get; } = new("bus.devices", "The bus's list has a lock of its own in Linux, a leaf; so has this.");

    /// <summary>The drivers of a bus in order.</summary>
    internal static SharedField Drivers { get; } = new("bus.drivers", "The bus's list has a lock of its own in Linux, a leaf; so has this.");

    /// <summary>Whether new devices are offered to the drivers at once.</summary>
    internal static SharedField AutoProbe { get; } = new("bus.drivers_autoprobe", "A switch that counts from the next device on.");

    /// <summary>The number of the last uevent, and who is told of the next.</summary>
    internal static SharedField Uevents { get; } = new("uevents", "Events have one order on a host, which everybody gets to see; Linux has a leaf lock for it.");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<SharedField> All { get; } =
    [
        Children, Entries, EntryGone, IsShown, IsRegistered, Bus, LinkedDriver, DriverFiles, DevicesByName, Devices, Drivers,
        AutoProbe, Uevents,
    ];
}

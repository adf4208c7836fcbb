using System.Globalization;
using Apvirt.Host.Guests;
using Apvirt.Host.Views;

namespace Apvirt.Cli.Rendering;

/// <summary>The guests of a host as a table.</summary>
internal static class GuestText
{
    internal static void Write(CommandIo io, HostView view)
    {
        Table guests = new("GUEST", "VCPUS", "MEMORY", "QUEUES", "DEVICES");
        foreach (GuestView guest in view.Guests)
            guests.Add(guest.Name, Text(guest.Vcpus), $"{Text(guest.MemoryMib)} MiB", Text(guest.Queues), string.Join(' ', guest.Devices.DefaultIfEmpty("-")));
        guests.Write(io.Out);
    }

    /// <summary>Who holds which reference to which VM.</summary>
    internal static void WriteReferences(CommandIo io, HostView view)
    {
        Table references = new("VM", "REFS", "HELD BY", "DEVICE");
        foreach (GuestView guest in view.Guests)
        {
            foreach (VmReference holder in guest.Holders)
                references.Add(guest.Name, Text(holder.Count), holder.Holder, holder.Device ?? "-");
            int others = guest.References - guest.Holders.Sum(holder => holder.Count);
            if (others != 0)
                references.Add(guest.Name, Text(others), "whoever is at work in it", "-");
        }
        references.Write(io.Out);
    }

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}

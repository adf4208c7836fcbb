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

    /// <summary>Who holds which reference to which VM: a line for each VM.</summary>
    internal static void WriteReferences(CommandIo io, HostView view)
    {
        Table references = new("VM", "REFS", "HELD BY");
        foreach (GuestView guest in view.Guests)
        {
            List<string> holders = [.. guest.Holders.Where(holder => holder.Device is null).Select(holder => holder.ToString())];
            foreach (IGrouping<string, VmReference> device in guest.Holders.Where(holder => holder.Device is not null).GroupBy(holder => holder.Device!, StringComparer.Ordinal))
                holders.Add($"{device.Key} ({string.Join(", ", device.Select(holder => holder.Holder))})");
            int others = guest.References - guest.Holders.Sum(holder => holder.Count);
            if (others != 0)
                holders.Add(string.Create(CultureInfo.InvariantCulture, $"whoever is at work in it ({others})"));
            references.Add(guest.Name, Text(guest.References), string.Join(", ", holders));
        }
        references.Write(io.Out);
    }

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}

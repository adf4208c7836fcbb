using System.Globalization;
using Apvirt.Host.Views;

namespace Apvirt.Cli.Rendering;

/// <summary>The guests of a host as a table.</summary>
internal static class GuestText
{
    internal static void Write(CommandIo io, HostView view)
    {
        Table guests = new("GUEST", "VCPUS", "MEMORY", "QUEUES", "MDEV");
        foreach (GuestView guest in view.Guests)
            guests.Add(guest.Name, Text(guest.Vcpus), $"{Text(guest.MemoryMib)} MiB", Text(guest.Queues), string.Join(' ', guest.Mdevs.DefaultIfEmpty("-")));
        guests.Write(io.Out);
    }

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}

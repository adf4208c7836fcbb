using System.Globalization;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Drivers;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.Host.Views;

/// <summary>A card as it is shown.</summary>
/// <param name="Id">Adapter id, two hexadecimal digits.</param>
/// <param name="Type">CEX8C and so on, or the hardware type.</param>
/// <param name="Driver">Its driver, null if unbound.</param>
/// <param name="Status">online, offline, deconfig or chkstop.</param>
/// <param name="Queues">Number of queue devices.</param>
public sealed record CardView(string Id, string Type, string? Driver, string Status, int Queues);

/// <summary>A queue as it is shown.</summary>
/// <param name="Apqn">The queue.</param>
/// <param name="Driver">Its driver, null if unbound.</param>
/// <param name="Mdev">UUID of the mdev that it is assigned to, null if none.</param>
/// <param name="Guest">The guest that has it now, null if none.</param>
/// <param name="Status">As the tools show it: online, offline, deconfig, chkstop, unassigned, assigned, in use, or - if unbound.</param>
public sealed record QueueView(string Apqn, string? Driver, string? Mdev, string? Guest, string Status);

/// <summary>A mediated device as it is shown.</summary>
/// <param name="Uuid">Its name.</param>
/// <param name="Alias">Its alias, null if none.</param>
/// <param name="Guest">The guest that has it open, null if none.</param>
/// <param name="Adapters">Assigned adapters.</param>
/// <param name="Domains">Assigned usage domains.</param>
/// <param name="ControlDomains">Assigned control domains.</param>
/// <param name="GuestAdapters">Adapters that the guest has or would have.</param>
/// <param name="GuestDomains">Domains that the guest has or would have.</param>
/// <param name="GuestControlDomains">Control domains that the guest has or would have.</param>
public sealed record MdevView(
    string Uuid, string? Alias, string? Guest,
    IReadOnlyList<string> Adapters, IReadOnlyList<string> Domains, IReadOnlyList<string> ControlDomains,
    IReadOnlyList<string> GuestAdapters, IReadOnlyList<string> GuestDomains, IReadOnlyList<string> GuestControlDomains);

/// <summary>A guest as it is shown.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Mdevs">UUIDs of the devices that it has open.</param>
/// <param name="Vcpus">Number of vCPUs.</param>
/// <param name="MemoryMib">Memory in MiB.</param>
/// <param name="Queues">Number of queues that its control block reaches.</param>
/// <param name="References">References to its VM.</param>
public sealed record GuestView(string Name, IReadOnlyList<string> Mdevs, int Vcpus, long MemoryMib, int Queues, int References);

/// <summary>Who owns each queue and which guest sees it: a picture of a host at one moment, for people and for programs.</summary>
/// <param name="Apmask">The mask of the host's adapters.</param>
/// <param name="Aqmask">The mask of the host's domains.</param>
/// <param name="Cards">The cards, ascending.</param>
/// <param name="Queues">The queues, ascending.</param>
/// <param name="Mdevs">The mediated devices, oldest first.</param>
/// <param name="Guests">The guests by name.</param>
public sealed record HostView(
    string Apmask, string Aqmask,
    IReadOnlyList<CardView> Cards, IReadOnlyList<QueueView> Queues, IReadOnlyList<MdevView> Mdevs, IReadOnlyList<GuestView> Guests)
{
    /// <summary>Takes the picture.</summary>
    /// <param name="host">The host, in which nothing moves meanwhile.</param>
    /// <param name="aliases">Aliases of mediated devices by UUID.</param>
    public static HostView Of(VirtualHost host, IReadOnlyDictionary<string, string>? aliases = null)
    {
        GuestProcess[] guests = host.Guests.List();
        MatrixMdev[] mdevs = [.. host.VfioAp.Matrix.Mdevs.Reverse()];
        return new HostView(
            host.ApBus.AdapterMask.ToString(),
            host.ApBus.DomainMask.ToString(),
            [.. host.ApBus.Cards().Select(OfCard)],
            [.. host.ApBus.Queues().Select(queue => OfQueue(queue, mdevs, guests))],
            [.. mdevs.Select(mdev => OfMdev(mdev, guests, aliases))],
            [.. guests.Select(guest => OfGuest(host, guest))]);
    }

    private static CardView OfCard(ApCard card) => new(
        card.Apid.ToString("x2", CultureInfo.InvariantCulture),
        card.Info.Mode == ApMode.None ? $"type {card.HwType}" : Cex4CardDriver.TypeName(card),
        card.Driver?.Name,
        StatusOf(card, card.IsOnline),
        card.Queues().Length);

    private static QueueView OfQueue(ApQueue queue, MatrixMdev[] mdevs, GuestProcess[] guests)
    {
        MatrixMdev? mdev = Array.Find(mdevs, m => m.Matrix.Contains(queue.Apqn));
        bool isPlugged = mdev?.Kvm is not null && mdev.IsPlugged(queue.Apqn);
        string status = queue.Driver switch
        {
            null => "-",
            ApDriver { IsDefault: true } => StatusOf(queue, queue.IsOnline),
            _ when !queue.IsUsable => StatusOf(queue, isOnline: true),
            _ => mdev is null ? "unassigned" : isPlugged ? "in use" : "assigned",
        };
        return new QueueView(queue.Name, queue.Driver?.Name, mdev?.Name, isPlugged ? HolderOf(mdev!, guests) : null, status);
    }

    private static string StatusOf(ApDevice device, bool isOnline) =>
        !device.IsConfigured ? "deconfig" : device.IsCheckstopped ? "chkstop" : isOnline ? "online" : "offline";

    private static MdevView OfMdev(MatrixMdev mdev, GuestProcess[] guests, IReadOnlyDictionary<string, string>? aliases) => new(
        mdev.Name, aliases?.GetValueOrDefault(mdev.Name), HolderOf(mdev, guests),
        Hex(mdev.Matrix.Apm, 2), Hex(mdev.Matrix.Aqm, 4), Hex(mdev.Matrix.Adm, 4),
        Hex(mdev.Shadow.Apm, 2), Hex(mdev.Shadow.Aqm, 4), Hex(mdev.Shadow.Adm, 4));

    private static GuestView OfGuest(VirtualHost host, GuestProcess guest) => new(
        guest.Name,
        [.. guest.Devices.Select(d => d.Name)],
        guest.Machine.Vcpus.Count,
        (long)(guest.Machine.Options.MemoryBytes >> 20),
        host.ApBus.Queues().Count(q => guest.Machine.Apcb.Contains(q.Apqn)),
        guest.Machine.References);

    private static string? HolderOf(MatrixMdev mdev, GuestProcess[] guests) => Array.Find(guests, g => g.Devices.Contains(mdev))?.Name;

    private static string[] Hex(ApMask ids, int digits) =>
        [.. ids.ToList().Select(id => id.ToString(digits == 2 ? "x2" : "x4", CultureInfo.InvariantCulture))];
}

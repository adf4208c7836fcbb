using System.Globalization;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Drivers;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.VfioAp.Mdev;
using Apvirt.VfioPci.Pci;
using Apvirt.VfioPci.Vgpu;

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

/// <summary>A PCI function as it is shown.</summary>
/// <param name="Address">Address on the bus; null while it is not in the configuration.</param>
/// <param name="Fid">Number of the function.</param>
/// <param name="Type">roce, nvme, ism or gpu.</param>
/// <param name="Driver">Its driver, null if unbound.</param>
/// <param name="Handle">The firmware's handle; its first bit tells whether the function is enabled.</param>
/// <param name="Guest">The guest that has it open, null if none.</param>
/// <param name="IsInterpreted">Whether the guest uses it without the host.</param>
/// <param name="IsForwarded">Whether its interrupts go straight to the guest.</param>
public sealed record PciView(string? Address, string Fid, string Type, string? Driver, string Handle, string? Guest, bool IsInterpreted, bool IsForwarded);

/// <summary>A vGPU as it is shown.</summary>
/// <param name="Uuid">Its name.</param>
/// <param name="Alias">Its alias, null if none.</param>
/// <param name="Adapter">Address of the graphics adapter.</param>
/// <param name="Guest">The guest that has it open, null if none.</param>
/// <param name="Pages">Pages of the guest that it has pinned.</param>
public sealed record VgpuView(string Uuid, string? Alias, string Adapter, string? Guest, int Pages);

/// <summary>A guest as it is shown.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Devices">The devices that it has open: UUIDs of AP mdevs and vGPUs, addresses of PCI functions.</param>
/// <param name="Vcpus">Number of vCPUs.</param>
/// <param name="MemoryMib">Memory in MiB.</param>
/// <param name="Queues">Number of queues that its control block reaches.</param>
/// <param name="References">References to its VM.</param>
/// <param name="Holders">Who holds them.</param>
public sealed record GuestView(
    string Name, IReadOnlyList<string> Devices, int Vcpus, long MemoryMib, int Queues, int References, IReadOnlyList<VmReference> Holders);

/// <summary>Who owns each queue and which guest sees it: a picture of a host at one moment, for people and for programs.</summary>
/// <param name="Apmask">The mask of the host's adapters.</param>
/// <param name="Aqmask">The mask of the host's domains.</param>
/// <param name="Cards">The cards, ascending.</param>
/// <param name="Queues">The queues, ascending.</param>
/// <param name="Mdevs">The AP mdevs, oldest first.</param>
/// <param name="Pci">The PCI functions, as the firmware lists them.</param>
/// <param name="Vgpus">The vGPUs, oldest first.</param>
/// <param name="Guests">The guests by name.</param>
public sealed record HostView(
    string Apmask, string Aqmask,
    IReadOnlyList<CardView> Cards, IReadOnlyList<QueueView> Queues, IReadOnlyList<MdevView> Mdevs,
    IReadOnlyList<PciView> Pci, IReadOnlyList<VgpuView> Vgpus, IReadOnlyList<GuestView> Guests)
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
            [.. host.Pci.Bus.Slots.Select(slot => OfFunction(slot, guests))],
            [.. host.Pci.Vgpus.Select(vgpu => OfVgpu(vgpu, guests, aliases))],
            [.. guests.Select(guest => OfGuest(host, guest))]);
    }

    private static PciView OfFunction(PciSlot slot, GuestProcess[] guests) => new(
        slot.Device?.Name, "0x" + slot.Setup.Fid.ToString("x", CultureInfo.InvariantCulture), slot.Setup.Type.Name, slot.Device?.LinkedDriver?.Name,
        "0x" + slot.Function.Firmware.Handle.ToString("x8", CultureInfo.InvariantCulture),
        slot.Device?.Vfio is { } vfio ? HolderOf(vfio.Device, guests) : null, slot.Function.Gisa != 0, slot.Function.Forwarded.IsOn);

    private static VgpuView OfVgpu(GvtMdev mdev, GuestProcess[] guests, IReadOnlyDictionary<string, string>? aliases) => new(
        mdev.Name, aliases?.GetValueOrDefault(mdev.Name), mdev.Type.Parent.Device.Name,
        mdev.Vgpu is { } vgpu ? HolderOf(vgpu.Device, guests) : null, mdev.Vgpu?.CachedPages ?? 0);

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
        return new QueueView(queue.Name, queue.Driver?.Name, mdev?.Name, isPlugged ? HolderOf(mdev!.Vfio, guests) : null, status);
    }

    private static string StatusOf(ApDevice device, bool isOnline) =>
        !device.IsConfigured ? "deconfig" : device.IsCheckstopped ? "chkstop" : isOnline ? "online" : "offline";

    private static MdevView OfMdev(MatrixMdev mdev, GuestProcess[] guests, IReadOnlyDictionary<string, string>? aliases) => new(
        mdev.Name, aliases?.GetValueOrDefault(mdev.Name), mdev.IsOffered ? HolderOf(mdev.Vfio, guests) : null,
        Hex(mdev.Matrix.Apm, 2), Hex(mdev.Matrix.Aqm, 4), Hex(mdev.Matrix.Adm, 4),
        Hex(mdev.Shadow.Apm, 2), Hex(mdev.Shadow.Aqm, 4), Hex(mdev.Shadow.Adm, 4));

    private static GuestView OfGuest(VirtualHost host, GuestProcess guest) => new(
        guest.Name,
        [.. guest.Devices.Select(d => d.DeviceName)],
        guest.Machine.Vcpus.Count,
        (long)(guest.Machine.Options.MemoryBytes >> 20),
        host.ApBus.Queues().Count(q => guest.Machine.Apcb.Contains(q.Apqn)),
        guest.Machine.References,
        [.. VmReference.Of(host, guest)]);

    private static string? HolderOf(VfioDevice device, GuestProcess[] guests) => Array.Find(guests, guest => guest.Devices.Contains(device))?.Name;

    private static string[] Hex(ApMask ids, int digits) =>
        [.. ids.ToList().Select(id => id.ToString(digits == 2 ? "x2" : "x4", CultureInfo.InvariantCulture))];
}

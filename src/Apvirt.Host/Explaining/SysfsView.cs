using System.Globalization;
using Apvirt.Ap.Architecture;
using Apvirt.Host.Views;

namespace Apvirt.Host.Explaining;

/// <summary>The picture of a machine of which only its sysfs is known. Guests have no names there.</summary>
public static class SysfsView
{
    private const string SomeGuest = "in use";

    /// <summary>Makes the picture.</summary>
    /// <param name="sysfs">The machine.</param>
    public static HostView Of(ApSysfs sysfs) => new(
        sysfs.Apmask.ToString(),
        sysfs.Aqmask.ToString(),
        [.. sysfs.Cards.Values.Select(card => OfCard(card, sysfs))],
        [.. sysfs.Queues.Values.Select(queue => OfQueue(queue, sysfs))],
        [.. sysfs.Mdevs.Values.Select(mdev => OfMdev(mdev, sysfs))],
        Pci: [],
        Vgpus: [],
        Guests: []);

    private static CardView OfCard(SysfsCard card, ApSysfs sysfs) => new(
        card.Apid.ToString("x2", CultureInfo.InvariantCulture),
        card.Type ?? "-",
        card.Driver,
        Status(card.IsConfigured, card.IsCheckstopped, card.IsOnline),
        sysfs.Queues.Values.Count(queue => queue.Apqn.Apid == card.Apid));

    private static QueueView OfQueue(SysfsQueue queue, ApSysfs sysfs)
    {
        SysfsMdev? mdev = sysfs.MdevOf(queue.Apqn);
        string status = queue.Driver is null ? "-"
            : queue is { IsConfigured: true, IsCheckstopped: false, Status: { } known } ? known
            : queue.Driver == "vfio_ap" ? Status(queue.IsConfigured, queue.IsCheckstopped, isOnline: true)
            : Status(queue.IsConfigured, queue.IsCheckstopped, queue.IsOnline);
        return new QueueView(queue.Apqn.ToString(), queue.Driver, mdev?.Uuid, queue.Status == SomeGuest ? SomeGuest : null, status);
    }

    private static MdevView OfMdev(SysfsMdev mdev, ApSysfs sysfs) => new(
        mdev.Uuid, Alias: null,
        sysfs.Queues.Values.Any(queue => mdev.Has(queue.Apqn) && queue.Status == SomeGuest) ? SomeGuest : null,
        Hex(mdev.Adapters, 2), Hex(mdev.Domains, 4), Hex(mdev.ControlDomains, 4),
        Hex(mdev.GuestAdapters ?? ApMask.None, 2), Hex(mdev.GuestDomains ?? ApMask.None, 4),
        Hex(mdev.ControlDomains & sysfs.ControlDomains, 4));

    private static string Status(bool isConfigured, bool isCheckstopped, bool isOnline) =>
        !isConfigured ? "deconfig" : isCheckstopped ? "chkstop" : isOnline ? "online" : "offline";

    private static string[] Hex(ApMask ids, int digits) =>
        [.. ids.ToList().Select(id => id.ToString(digits == 2 ? "x2" : "x4", CultureInfo.InvariantCulture))];
}

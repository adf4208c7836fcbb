using System.Globalization;
using Apvirt.Ap.Architecture;

namespace Apvirt.Host.Explaining;

/// <summary>
/// Says why a queue, a mediated device or a guest has what it has, from sysfs alone, so for a real machine as for a
/// virtual one: who owns a queue and by which mask bit, what keeps it out of a guest, and what would change that.
/// </summary>
/// <param name="sysfs">The machine.</param>
/// <param name="aliases">Names of mediated devices by UUID; empty for a machine that has none.</param>
/// <param name="guests">UUIDs of the devices that each guest has open; empty where sysfs is all there is.</param>
public sealed class Explainer(ApSysfs sysfs, IReadOnlyDictionary<string, string> aliases, IReadOnlyDictionary<string, IReadOnlyList<string>> guests)
{
    private const string Bind = "/sys/bus/ap/drivers/vfio_ap/bind";
    private const string Unbind = "/sys/bus/ap/drivers/vfio_ap/unbind";

    private readonly List<ExplanationLine> _lines = [];

    /// <summary>Explains a queue such as <c>05.0004</c>, a mediated device by UUID or alias, or a guest.</summary>
    /// <param name="subject">What to explain.</param>
    /// <returns>Null if there is no such thing and it is no queue's name.</returns>
    public Explanation? Explain(string subject)
    {
        _lines.Clear();
        string uuid = aliases.FirstOrDefault(alias => string.Equals(alias.Value, subject, StringComparison.Ordinal)).Key ?? subject.ToLowerInvariant();
        if (Apqn.TryParse(subject, out Apqn apqn))
            ExplainQueue(apqn);
        else if (sysfs.Mdevs.TryGetValue(uuid, out SysfsMdev? mdev))
            ExplainMdev(mdev);
        else if (guests.TryGetValue(subject, out IReadOnlyList<string>? devices))
            ExplainGuest(subject, devices);
        else
            return null;
        return new Explanation(subject, [.. _lines]);
    }

    private void ExplainQueue(Apqn apqn)
    {
        string name = apqn.ToString();
        bool isThere = sysfs.Queues.TryGetValue(name, out SysfsQueue? queue);
        if (isThere)
            Say("device", $"{name} exists{Kind(apqn)}{State(queue!)}", isObstacle: !queue!.IsConfigured || queue.IsCheckstopped);
        else
            SayAbsent(apqn);
        SayOwner(apqn, queue);
        SysfsMdev? mdev = sysfs.MdevOf(apqn);
        if (mdev is null)
        {
            if (IsReserved(apqn))
                Say("assigned", "to no mediated device; none can have it while it is the host's");
            else
                Say("assigned", "to no mediated device", isObstacle: true, $"echo 0x{apqn.Apid:x2} > {Attribute("UUID", "assign_adapter")}", $"echo 0x{apqn.Apqi:x4} > {Attribute("UUID", "assign_domain")}");
            return;
        }
        Say("assigned", $"to mediated device {NameOf(mdev)}");
        if (IsInGuest(mdev, apqn, queue))
            Say("guest", $"{GuestOf(mdev) ?? "the guest of the device"} has it");
        else
            SayWhyNot(mdev, apqn);
    }

    private void ExplainMdev(SysfsMdev mdev)
    {
        Say("matrix", mdev.Adapters.IsEmpty || mdev.Domains.IsEmpty
            ? $"no queue: {(mdev.Adapters.IsEmpty ? "no adapter" : $"adapters {Ids(mdev.Adapters, 2)}")}, {(mdev.Domains.IsEmpty ? "no domain" : $"domains {Ids(mdev.Domains, 4)}")}"
            : $"adapters {Ids(mdev.Adapters, 2)} x domains {Ids(mdev.Domains, 4)}");
        Say("guest", IsOpen(mdev) ? $"{GuestOf(mdev) ?? "a guest"} has the device open" : "no guest has the device open");
        foreach (int apid in mdev.Adapters)
            SayAdapter(mdev, apid);
        ApMask withheld = mdev.Domains & ~sysfs.Domains;
        if (sysfs.HasConfiguration && !withheld.IsEmpty)
            Say("domains", $"{Ids(withheld, 4)} withheld: not in the host's configuration", isObstacle: true);
        ApMask control = mdev.ControlDomains & ~sysfs.ControlDomains;
        if (sysfs.HasConfiguration && !control.IsEmpty)
            Say("control", $"control domains {Ids(control, 4)} withheld: not in the host's configuration", isObstacle: true);
    }

    private void ExplainGuest(string guest, IReadOnlyList<string> devices)
    {
        if (devices.Count == 0)
            Say("device", "it has no mediated device open, so no queues", isObstacle: true, $"apvirt guest start {guest} --mdev UUID");
        foreach (string uuid in devices)
        {
            if (!sysfs.Mdevs.TryGetValue(uuid, out SysfsMdev? mdev))
            {
                Say("device", $"{uuid} is being removed", isObstacle: true);
                continue;
            }
            Say("device", $"it has {NameOf(mdev)} open");
            ExplainMdev(mdev);
        }
    }

    private void SayAbsent(Apqn apqn)
    {
        if (sysfs.HasConfiguration && !sysfs.Adapters[apqn.Apid])
            Say("device", $"there is no {apqn}: adapter {apqn.Apid:x2} is not in the host's configuration", isObstacle: true, $"apvirt hw add 0x{apqn.Apid:x2} CEX8C   (on a real machine: at the HMC)");
        else if (sysfs.HasConfiguration && !sysfs.Domains[apqn.Apqi])
            Say("device", $"there is no {apqn}: domain {apqn.Apqi:x4} is no usage domain of the host's configuration", isObstacle: true);
        else if (sysfs.Cards.ContainsKey(apqn.Apid))
            Say("device", $"there is no {apqn}, although adapter and domain are in the host's configuration: the hardware does not answer for it", isObstacle: true, "echo 1 > /sys/bus/ap/scans");
        else
            Say("device", $"there is no card{apqn.Apid:x2}, although the adapter is in the host's configuration: the bus does not know its type, or has not scanned since", isObstacle: true, "echo 1 > /sys/bus/ap/scans");
    }

    private void SayOwner(Apqn apqn, SysfsQueue? queue)
    {
        string masks = IsReserved(apqn)
            ? $"the host's drivers: apmask has bit 0x{apqn.Apid:x2} and aqmask has bit 0x{apqn.Apqi:x4}"
            : $"vfio_ap: {(sysfs.Apmask[apqn.Apid] ? $"aqmask lacks bit 0x{apqn.Apqi:x4}" : $"apmask lacks bit 0x{apqn.Apid:x2}")}";
        if (IsReserved(apqn))
            Say("belongs to", masks, isObstacle: false, $"echo -0x{apqn.Apid:x2} > /sys/bus/ap/apmask   (gives the whole adapter away)", $"echo -0x{apqn.Apqi:x4} > /sys/bus/ap/aqmask   (gives the domain of every adapter away)");
        else
            Say("belongs to", masks);
        if (queue is null)
            return;
        if (queue.Driver is null)
            Say("bound to", "no driver", isObstacle: true, IsReserved(apqn) ? $"echo {apqn} > /sys/bus/ap/drivers/cex4queue/bind" : $"echo {apqn} > {Bind}");
        else
            Say("bound to", queue.Driver);
    }

    // The filter of vfio_ap gives a guest an adapter only with all of its queues (vfio-ap.md §4).
    private void SayWhyNot(SysfsMdev mdev, Apqn apqn)
    {
        if (!IsOpen(mdev) && mdev.GuestHas(apqn))
            Say("guest", $"none has {NameOf(mdev)} open; the next one that opens it gets the queue", isObstacle: true, $"apvirt guest start NAME --mdev {mdev.Uuid}   (on a real machine: attach it with virsh)");
        else if (sysfs.HasConfiguration && !sysfs.Domains[apqn.Apqi])
            Say("guest", $"domain {apqn.Apqi:x4} is withheld: not in the host's configuration", isObstacle: true);
        else
            SayAdapter(mdev, apqn.Apid);
    }

    private void SayAdapter(SysfsMdev mdev, int apid)
    {
        string adapter = $"adapter {apid:x2}";
        if (mdev.GuestAdapters is not { } visible)
        {
            Say("guest", $"{adapter}: this kernel does not say what the guest has");
            return;
        }
        if (visible[apid])
        {
            Say("guest", IsOpen(mdev) ? $"{adapter} is in the guest" : $"{adapter} will be in the guest that opens the device");
            return;
        }
        if (sysfs.HasConfiguration && !sysfs.Adapters[apid])
        {
            Say("guest", $"{adapter} is withheld: not in the host's configuration", isObstacle: true, $"apvirt hw add 0x{apid:x2} CEX8C   (on a real machine: at the HMC)");
            return;
        }
        ApMask domains = sysfs.HasConfiguration ? mdev.Domains & sysfs.Domains : mdev.Domains;
        if (domains.IsEmpty)
        {
            Say("guest", $"{adapter} has no queues for the guest: no domain is assigned that the host has", isObstacle: true, $"echo 0xNN > {Attribute(mdev.Uuid, "assign_domain")}");
            return;
        }
        int before = _lines.Count;
        foreach (int apqi in domains)
            SayCulprit(adapter, Apqn.Of(apid, apqi));
        if (_lines.Count > before)
            return;
        Say(
            "guest",
            $"{adapter} is withheld although all its queues are bound to vfio_ap: the reset of one failed, or the kernel has not looked again since a domain without a queue was unassigned (6.12 does not)",
            isObstacle: true,
            $"echo 0x{apid:x2} > {Attribute(mdev.Uuid, "unassign_adapter")}; echo 0x{apid:x2} > {Attribute(mdev.Uuid, "assign_adapter")}",
            $"for q in {string.Join(' ', domains.ToList().Select(apqi => Apqn.Of(apid, apqi)))}; do echo $q > {Unbind}; echo $q > {Bind}; done");
    }

    private void SayCulprit(string adapter, Apqn apqn)
    {
        if (!sysfs.Queues.TryGetValue(apqn.ToString(), out SysfsQueue? queue))
            Say("guest", $"{adapter} is withheld whole because there is no queue {apqn}", isObstacle: true, "echo 1 > /sys/bus/ap/scans");
        else if (queue.Driver is null)
            Say("guest", $"{adapter} is withheld whole because queue {apqn} has no driver", isObstacle: true, $"echo {apqn} > {Bind}");
        else if (queue.Driver != "vfio_ap")
            Say("guest", $"{adapter} is withheld whole because queue {apqn} is bound to {queue.Driver}", isObstacle: true, $"echo {apqn} > /sys/bus/ap/drivers/{queue.Driver}/unbind; echo {apqn} > {Bind}");
    }

    private bool IsReserved(Apqn apqn) => sysfs.Apmask[apqn.Apid] && sysfs.Aqmask[apqn.Apqi];

    // Older kernels do not say whether a queue is in use; then only the matrix of the guest is known.
    private static bool IsInGuest(SysfsMdev mdev, Apqn apqn, SysfsQueue? queue) => queue?.Status is { } status ? status == "in use" : mdev.GuestHas(apqn);

    private bool IsOpen(SysfsMdev mdev) =>
        GuestOf(mdev) is not null || sysfs.Queues.Values.Any(queue => mdev.Has(queue.Apqn) && queue.Status == "in use");

    private string? GuestOf(SysfsMdev mdev) =>
        guests.FirstOrDefault(guest => guest.Value.Contains(mdev.Uuid, StringComparer.Ordinal)).Key is { } name ? $"guest {name}" : null;

    private string NameOf(SysfsMdev mdev) => aliases.TryGetValue(mdev.Uuid, out string? alias) ? $"{mdev.Uuid} ({alias})" : mdev.Uuid;

    private string Kind(Apqn apqn) => sysfs.Cards.TryGetValue(apqn.Apid, out SysfsCard? card) && card.Type is { } type ? $", a queue of a {type}" : "";

    private static string State(SysfsQueue queue) =>
        !queue.IsConfigured ? "; its adapter is configured off" : queue.IsCheckstopped ? "; it is checkstopped" : "";

    private static string Attribute(string uuid, string name) => $"/sys/devices/vfio_ap/matrix/{uuid}/{name}";

    private static string Ids(ApMask ids, int digits) =>
        string.Join(' ', ids.ToList().Select(id => id.ToString(digits == 2 ? "x2" : "x4", CultureInfo.InvariantCulture)));

    private void Say(string topic, string text, bool isObstacle = false, params IReadOnlyList<string> commands) =>
        _lines.Add(new ExplanationLine(topic, text, isObstacle, commands));
}

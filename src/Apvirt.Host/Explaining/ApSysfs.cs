using System.Globalization;
using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Kernel;

namespace Apvirt.Host.Explaining;

/// <summary>A card as sysfs shows it.</summary>
/// <param name="Apid">Adapter.</param>
/// <param name="Type">CEX8C and so on; null while no driver says it.</param>
/// <param name="Driver">Its driver, null if unbound.</param>
/// <param name="IsConfigured">Whether it is configured on.</param>
/// <param name="IsCheckstopped">Whether it is checkstopped.</param>
/// <param name="IsOnline">Whether it is switched on.</param>
public sealed record SysfsCard(int Apid, string? Type, string? Driver, bool IsConfigured, bool IsCheckstopped, bool IsOnline);

/// <summary>A queue as sysfs shows it.</summary>
/// <param name="Apqn">The queue.</param>
/// <param name="Driver">Its driver, null if unbound.</param>
/// <param name="IsConfigured">Whether its adapter is configured on.</param>
/// <param name="IsCheckstopped">Whether it is checkstopped.</param>
/// <param name="IsOnline">Whether it is switched on; only a queue of the host's driver can be.</param>
/// <param name="Status">What vfio_ap says: unassigned, assigned, in use; null for others.</param>
public sealed record SysfsQueue(Apqn Apqn, string? Driver, bool IsConfigured, bool IsCheckstopped, bool IsOnline, string? Status);

/// <summary>A mediated device as sysfs shows it.</summary>
/// <param name="Uuid">Its name.</param>
/// <param name="Adapters">Assigned adapters.</param>
/// <param name="Domains">Assigned usage domains.</param>
/// <param name="ControlDomains">Assigned control domains.</param>
/// <param name="GuestAdapters">Adapters that the guest has or would have; null if the kernel does not say.</param>
/// <param name="GuestDomains">Domains that the guest has or would have.</param>
public sealed record SysfsMdev(string Uuid, ApMask Adapters, ApMask Domains, ApMask ControlDomains, ApMask? GuestAdapters, ApMask? GuestDomains)
{
    /// <summary>Whether a queue is assigned.</summary>
    /// <param name="apqn">The queue.</param>
    public bool Has(Apqn apqn) => Adapters[apqn.Apid] && Domains[apqn.Apqi];

    /// <summary>Whether the guest has a queue, or would have it.</summary>
    /// <param name="apqn">The queue.</param>
    public bool GuestHas(Apqn apqn) => GuestAdapters is { } apm && GuestDomains is { } aqm && apm[apqn.Apid] && aqm[apqn.Apqi];
}

/// <summary>The AP part of a sysfs tree at one moment, whatever machine it is from.</summary>
public sealed class ApSysfs
{
    private const string Matrix = "devices/vfio_ap/matrix";
    private const int FullPage = 4080;

    private ApSysfs(ApMask apmask, ApMask aqmask, ApMask adapters, ApMask domains, ApMask controlDomains, bool hasConfiguration)
    {
        Apmask = apmask;
        Aqmask = aqmask;
        Adapters = adapters;
        Domains = domains;
        ControlDomains = controlDomains;
        HasConfiguration = hasConfiguration;
    }

    /// <summary>Adapters for the host's own drivers.</summary>
    public ApMask Apmask { get; }

    /// <summary>Domains for the host's own drivers.</summary>
    public ApMask Aqmask { get; }

    /// <summary>Adapters in the host's configuration.</summary>
    public ApMask Adapters { get; }

    /// <summary>Usage domains in the host's configuration.</summary>
    public ApMask Domains { get; }

    /// <summary>Control domains in the host's configuration.</summary>
    public ApMask ControlDomains { get; }

    /// <summary>Whether the tree says what the configuration is.</summary>
    public bool HasConfiguration { get; }

    /// <summary>The cards, ascending.</summary>
    public SortedDictionary<int, SysfsCard> Cards { get; } = [];

    /// <summary>The queues, ascending.</summary>
    public SortedDictionary<string, SysfsQueue> Queues { get; } = new(StringComparer.Ordinal);

    /// <summary>The mediated devices by UUID.</summary>
    public SortedDictionary<string, SysfsMdev> Mdevs { get; } = new(StringComparer.Ordinal);

    /// <summary>Reads a tree.</summary>
    /// <param name="source">The tree.</param>
    /// <returns>Null if there is no AP bus in it.</returns>
    public static ApSysfs? Read(ISysfsSource source)
    {
        if (source.List("bus/ap").Count == 0)
            return null;
        // Kernels before the masks give everything to the host.
        ApMask apmask = ReadMask(source, "bus/ap/apmask") ?? ApMask.All;
        ApMask aqmask = ReadMask(source, "bus/ap/aqmask") ?? ApMask.All;
        ApMask? adapters = ReadMask(source, "bus/ap/ap_adapter_mask");
        ApMask? domains = ReadMask(source, "bus/ap/ap_usage_domain_mask");
        ApMask? control = ReadMask(source, "bus/ap/ap_control_domain_mask");
        ApSysfs sysfs = new(apmask, aqmask, adapters ?? ApMask.None, domains ?? ApMask.None, control ?? ApMask.None, adapters is not null && domains is not null);
        foreach (string name in source.List("bus/ap/devices"))
        {
            if (name.StartsWith("card", StringComparison.Ordinal) && int.TryParse(name.AsSpan(4), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out int apid) && apid is >= 0 and < ApMask.Size)
                sysfs.Cards[apid] = ReadCard(source, apid, $"devices/ap/{name}");
            else if (Apqn.TryParse(name, out Apqn apqn))
                sysfs.Queues[name] = ReadQueue(source, apqn, string.Create(CultureInfo.InvariantCulture, $"devices/ap/card{apqn.Apid:x2}/{name}"));
        }
        foreach (string name in source.List(Matrix).Where(name => Guid.TryParseExact(name, "D", out _)))
            sysfs.Mdevs[name] = ReadMdev(source, name);
        return sysfs;
    }

    /// <summary>The mediated device that a queue is assigned to, null if none.</summary>
    /// <param name="apqn">The queue.</param>
    public SysfsMdev? MdevOf(Apqn apqn) => Mdevs.Values.FirstOrDefault(mdev => mdev.Has(apqn));

    private static SysfsCard ReadCard(ISysfsSource source, int apid, string path) => new(
        apid, source.Read($"{path}/type"), source.LinkTarget($"{path}/driver"),
        source.Read($"{path}/config") != "0", source.Read($"{path}/chkstop") == "1", source.Read($"{path}/online") == "1");

    private static SysfsQueue ReadQueue(ISysfsSource source, Apqn apqn, string path) => new(
        apqn, source.LinkTarget($"{path}/driver"),
        source.Read($"{path}/config") != "0", source.Read($"{path}/chkstop") == "1", source.Read($"{path}/online") == "1", source.Read($"{path}/status"));

    private static SysfsMdev ReadMdev(ISysfsSource source, string uuid)
    {
        string path = $"{Matrix}/{uuid}";
        (ApMask apm, ApMask aqm) = ParseMatrix(source.Read($"{path}/matrix") ?? "");
        ApMask adm = ParseIds(source.Read($"{path}/control_domains") ?? "");
        // Only ap_config is complete where a matrix is longer than a page.
        if (source.Read($"{path}/ap_config")?.Split(',') is [var adapters, var domains, var control]
            && Parse(adapters) is { } wholeApm && Parse(domains) is { } wholeAqm && Parse(control) is { } wholeAdm)
        {
            (apm, aqm, adm) = (wholeApm, wholeAqm, wholeAdm);
        }
        // A page that is full does not show everything, so it says nothing.
        if (source.Read($"{path}/guest_matrix") is not { Length: < FullPage } guest)
            return new SysfsMdev(uuid, apm, aqm, adm, GuestAdapters: null, GuestDomains: null);
        (ApMask guestApm, ApMask guestAqm) = ParseMatrix(guest);
        return new SysfsMdev(uuid, apm, aqm, adm, guestApm, guestAqm);
    }

    // Lines are queues; or adapters such as "05." while there is no domain, or domains such as ".0004" while there is no adapter.
    private static (ApMask Apm, ApMask Aqm) ParseMatrix(string text)
    {
        ApMask apm = ApMask.None;
        ApMask aqm = ApMask.None;
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            int dot = line.IndexOf('.', StringComparison.Ordinal);
            if (dot > 0 && int.TryParse(line.AsSpan(0, dot), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out int apid) && apid < ApMask.Size)
                apm = apm.With(apid);
            if (dot >= 0 && int.TryParse(line.AsSpan(dot + 1), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out int apqi) && apqi < ApMask.Size)
                aqm = aqm.With(apqi);
        }
        return (apm, aqm);
    }

    private static ApMask ParseIds(string text)
    {
        ApMask ids = ApMask.None;
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (int.TryParse(line, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out int id) && id < ApMask.Size)
                ids = ids.With(id);
        }
        return ids;
    }

    private static ApMask? ReadMask(ISysfsSource source, string path) => source.Read(path) is { } text ? Parse(text) : null;

    private static ApMask? Parse(string text)
    {
        ApMask mask = ApMask.None;
        return MaskText.ParseAbsolute(Encoding.ASCII.GetBytes(text), ref mask) == Errno.Ok ? mask : null;
    }
}

using System.Globalization;
using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Apvirt.Host.Description;

/// <summary>Reads the description of a host. Finds everything that is wrong, not only the first thing.</summary>
public sealed class HostDescriptionReader
{

    private readonly ErrorList _errors;

    private HostDescriptionReader(string file) => _errors = new ErrorList(file);

    /// <summary>Reads a description.</summary>
    /// <param name="file">Name of the file, for errors.</param>
    /// <param name="text">The YAML text.</param>
    /// <param name="description">The description; null if anything is wrong.</param>
    /// <returns>What is wrong, in the order of the file; empty if nothing is.</returns>
    public static IReadOnlyList<DescriptionError> Read(string file, string text, out HostDescription? description)
    {
        HostDescriptionReader reader = new(file);
        HostDescription? read = reader.Read(text);
        description = reader._errors.Errors.Count == 0 ? read : null;
        return [.. reader._errors.Errors.OrderBy(e => e.Line).ThenBy(e => e.Column)];
    }

    private HostDescription? Read(string text)
    {
        YamlStream stream = [];
        try
        {
            stream.Load(new StringReader(text));
        }
        catch (YamlException problem)
        {
            string why = problem.InnerException?.Message ?? problem.Message;
            _errors.Add(problem.Start, $"this is not YAML: {why}");
            return null;
        }
        catch (InvalidOperationException)
        {
            // What the library throws when the text ends in the middle of something.
            int lines = text.AsSpan().TrimEnd().Count('\n') + 1;
            _errors.Add(new Mark(0, lines, 1), "this is not YAML: the text ends in the middle of a list or map; expected its closing bracket");
            return null;
        }
        if (stream.Documents.Count == 0)
        {
            _errors.Add(new Mark(0, 1, 1), "the file is empty; expected a host with adapters and domains");
            return null;
        }
        if (stream.Documents.Count > 1)
            _errors.Add(stream.Documents[1].RootNode.Start, "a second document begins here; expected one host in a file");
        YamlMap root = new(stream.Documents[0].RootNode, "host", _errors);
        if (root.Node is not YamlMappingNode)
            return null;
        root.Require("adapters", "domains");
        ApMask domains = root.Ids("domains") ?? ApMask.None;
        HostDescription host = new()
        {
            Machine = ReadMachine(root.Map("machine")),
            Adapters = ReadAdapters(root),
            Domains = domains,
            ControlDomains = root.Ids("control_domains") ?? domains,
            ApMaskText = ReadMask(root, "apmask"),
            AqMaskText = ReadMask(root, "aqmask"),
        };
        DeviceDescriptionReader devices = new(new Dictionary<string, string>(StringComparer.Ordinal), new Dictionary<string, Mark>(StringComparer.Ordinal));
        host = host with { Mdevs = ReadMdevs(root, devices), PciFunctions = devices.ReadFunctions(root) };
        host = host with { Vgpus = devices.ReadVgpus(root) };
        host = host with { Guests = ReadGuests(root, devices) };
        root.RefuseOthers();
        return host;
    }

    private static MachineDescription ReadMachine(YamlMap? map)
    {
        if (map is null)
            return new MachineDescription();
        string profiles = string.Join(" or ", Profile.All.Select(p => p.Name));
        string? profile = map.Text("profile", profiles);
        if (profile is not null && Profile.Find(profile) is null)
            map.Fail("profile", $"profile: \"{profile}\" is not known; expected {profiles}");
        MachineDescription machine = new()
        {
            Profile = profile ?? Profile.Linux612.Name,
            Apxa = map.Flag("apxa", otherwise: true),
            Qci = map.Flag("qci", otherwise: true),
            MaxAdapter = map.Number("max_adapter", 0, 255, 255),
            MaxDomain = map.Number("max_domain", 0, 255, 255),
            Interrupts = map.Flag("interrupts", otherwise: true),
            Zvm = map.Flag("zvm", otherwise: false),
            DefaultDomain = map.Number("default_domain", -1, 255, -1),
            ConfigTime = map.Number("config_time", 5, 120, 30),
        };
        map.RefuseOthers();
        return machine;
    }

    private List<AdapterDescription> ReadAdapters(YamlMap root)
    {
        List<AdapterDescription> adapters = [];
        Dictionary<int, Mark> places = [];
        foreach (YamlMap map in root.List("adapters", "adapter"))
        {
            map.Require("id");
            ApMask ids = map.Ids("id") ?? ApMask.None;
            foreach (int id in ids)
            {
                if (!places.TryAdd(id, map.Start))
                    map.Fail("id", $"adapter 0x{id:x2} is described twice; the first time in line {places[id].Line}");
            }
            AdapterType? type = ReadType(map);
            bool configured = map.Flag("configured", otherwise: true);
            bool checkstopped = map.Flag("checkstopped", otherwise: false);
            map.RefuseOthers();
            if (type is not null)
                adapters.Add(new AdapterDescription(ids, type, configured, checkstopped));
        }
        return adapters;
    }

    private static AdapterType? ReadType(YamlMap map)
    {
        AdapterType? type = null;
        if (map.Text("type", "CEX4 to CEX8 followed by A, C or P") is { } name && !AdapterType.TryParse(name, out type))
            map.Fail("type", $"adapter type \"{name}\" is not known; expected CEX4 to CEX8 followed by A, C or P");
        int hwType = map.Number("hwtype", 1, 255, type?.HwType ?? 0);
        if (map.Has("type") && map.Has("hwtype"))
            map.Fail("hwtype", "hwtype: an adapter has either a type or an hwtype, not both");
        if (!map.Has("type") && !map.Has("hwtype"))
            map.Require("type");
        type ??= hwType > 0 ? new AdapterType(hwType, AdapterType.CcaFunctions) : null;
        uint functions = type?.Functions ?? 0;
        if (map.Text("functions", "32 bits such as 0x92800000") is { } bits
            && !(bits.StartsWith("0x", StringComparison.Ordinal)
                && uint.TryParse(bits.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out functions)))
        {
            map.Fail("functions", $"functions: \"{bits}\" is not a word; expected 32 bits such as 0x92800000");
        }
        int depth = map.Number("depth", 1, 256, 8);
        int maxMessage = map.Number("max_message", 4096, 255 * 4096, 12288);
        if (maxMessage % 4096 != 0)
            map.Fail("max_message", "max_message: expected a multiple of 4096");
        string serial = map.Text("serial", "a serial number") ?? "";
        return type is null ? null : type with { Functions = functions, Depth = depth, MaxMessageBytes = maxMessage, Serial = serial };
    }

    private static string? ReadMask(YamlMap root, string key)
    {
        if (root.Text(key, "a mask as in sysfs, such as 0xf9ff… or +0-4") is not { } text)
            return null;
        if (MaskText.Parse(Encoding.UTF8.GetBytes(text), ApMask.None, out _) != Errno.Ok)
            root.Fail(key, $"{key}: \"{text}\" is not a mask; expected up to 64 hexadecimal digits after 0x, or terms such as +5 or +0-4 separated by commas");
        return text;
    }

    private static List<MdevDescription> ReadMdevs(YamlMap root, DeviceDescriptionReader devices)
    {
        List<MdevDescription> mdevs = [];
        foreach (YamlMap map in root.List("mdevs", "mdev"))
        {
            map.Require("uuid");
            (string? uuid, string? alias) = devices.ReadNames(map);
            MdevDescription mdev = new(
                uuid ?? "", alias, map.Ids("adapters") ?? ApMask.None, map.Ids("domains") ?? ApMask.None, map.Ids("control_domains") ?? ApMask.None);
            map.RefuseOthers();
            if (mdevs.Find(other => other.Adapters.Intersects(mdev.Adapters) && other.Domains.Intersects(mdev.Domains)) is { } holder)
            {
                Apqn shared = Apqn.Of((holder.Adapters & mdev.Adapters).ToList()[0], (holder.Domains & mdev.Domains).ToList()[0]);
                map.Fail("adapters", $"queue {shared} is assigned to mdev {holder.Alias ?? holder.Uuid} already; expected each queue in one mdev (EADDRINUSE)");
            }
            mdevs.Add(mdev);
        }
        return mdevs;
    }

    private static List<GuestDescription> ReadGuests(YamlMap root, DeviceDescriptionReader devices)
    {
        List<GuestDescription> guests = [];
        Dictionary<string, Mark> places = new(StringComparer.Ordinal);
        Dictionary<string, string> users = new(StringComparer.Ordinal);
        foreach (YamlMap map in root.List("guests", "guest"))
        {
            map.Require("name");
            string name = map.Text("name", "a name") ?? "";
            if (name.Length > 0 && !places.TryAdd(name, map.At("name")))
                map.Fail("name", $"guest \"{name}\" is described twice; the first time in line {places[name].Line}");
            guests.Add(new GuestDescription
            {
                Name = name,
                Devices = devices.ReadOfGuest(map, name, users),
                MemoryBytes = ReadMemory(map),
                Vcpus = map.Number("vcpus", 1, 255, 1),
                Ap = map.Flag("ap", otherwise: true),
                Gisa = map.Flag("gisa", otherwise: true),
                Protected = map.Flag("protected", otherwise: false),
                RegistersRequest = map.Flag("req_irq", otherwise: true),
                Start = map.Flag("start", otherwise: true),
            });
            map.RefuseOthers();
        }
        return guests;
    }

    private static ulong ReadMemory(YamlMap map)
    {
        const ulong Otherwise = 4UL << 30;
        if (map.Text("memory", "bytes, such as 4G or 512M") is not { } text)
            return Otherwise;
        int shift = char.ToUpperInvariant(text[^1]) switch
        {
            'K' => 10,
            'M' => 20,
            'G' => 30,
            _ => 0,
        };
        if (ulong.TryParse(shift > 0 ? text.AsSpan(0, text.Length - 1) : text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong units)
            && units > 0 && units <= (1UL << 50) >> shift)
        {
            return units << shift;
        }
        map.Fail("memory", $"memory: \"{text}\" is not a size; expected bytes, such as 4G or 512M");
        return Otherwise;
    }
}

using System.Globalization;
using Apvirt.VfioPci.Pci;
using YamlDotNet.Core;

namespace Apvirt.Host.Description;

/// <summary>Reads what of a host is neither adapter nor AP mdev but can be given to guests: PCI functions and vGPUs.</summary>
/// <param name="names">What guests can call a device, and its name in the tree; gets those of this reader.</param>
/// <param name="places">Where each name was given first.</param>
internal sealed class DeviceDescriptionReader(Dictionary<string, string> names, Dictionary<string, Mark> places)
{
    private readonly Dictionary<string, PciFunctionSetup> _byName = new(StringComparer.Ordinal);

    internal List<PciFunctionSetup> ReadFunctions(YamlMap root)
    {
        List<PciFunctionSetup> functions = [];
        Dictionary<uint, Mark> fids = [];
        foreach (YamlMap map in root.List("pci", "PCI function"))
        {
            map.Require("fid", "type");
            uint fid = (uint)map.Number("fid", 0, int.MaxValue, 0);
            if (map.Has("fid") && !fids.TryAdd(fid, map.At("fid")))
                map.Fail("fid", $"fid: function 0x{fid:x} is described twice; the first time in line {fids[fid].Line}");
            string types = string.Join(", ", PciFunctionType.All.Select(type => type.Name));
            string? typeName = map.Text("type", types);
            PciFunctionType? type = typeName is null ? null : PciFunctionType.Find(typeName);
            if (typeName is not null && type is null)
                map.Fail("type", $"type: \"{typeName}\" is not known; expected one of {types}");
            string? driver = map.Text("driver", $"vfio-pci, or {type?.Driver ?? "the host's own"}");
            if (driver is not null && driver != "vfio-pci" && driver != type?.Driver)
                map.Fail("driver", $"driver: \"{driver}\" does not take a function of type {typeName}; expected vfio-pci or {type?.Driver}");
            PciFunctionSetup function = new(fid, type ?? PciFunctionType.All[0])
            {
                Uid = map.Number("uid", 0, ushort.MaxValue, 0),
                Pchid = (ushort)map.Number("pchid", 0, ushort.MaxValue, 0x100),
                Vfn = (ushort)map.Number("vfn", 0, ushort.MaxValue, 0),
                Pfgid = (byte)map.Number("pfgid", 0, byte.MaxValue, 0),
                Port = (byte)map.Number("port", 0, byte.MaxValue, 1),
                InterruptsMax = map.Number("interrupts", 1, 2048, 256),
                IommuGroup = map.Text("iommu_group", "a name that functions share"),
                Utility = map.Text("util", $"at most {PciFunctionSetup.UtilityMax} characters"),
                IsForGuests = driver == "vfio-pci",
            };
            if (function.Utility?.Length > PciFunctionSetup.UtilityMax)
                map.Fail("util", $"util: {function.Utility.Length} characters; expected at most {PciFunctionSetup.UtilityMax}");
            map.RefuseOthers();
            functions.Add(function);
        }
        string[] addresses = PciBus.AddressesOf(functions);
        for (int i = 0; i < functions.Count; i++)
        {
            foreach (string name in (ReadOnlySpan<string>)[addresses[i], Fid(functions[i])])
            {
                names[name] = addresses[i];
                _byName[name] = functions[i];
            }
        }
        return functions;
    }

    internal List<VgpuDescription> ReadVgpus(YamlMap root)
    {
        List<VgpuDescription> vgpus = [];
        foreach (YamlMap map in root.List("vgpus", "vGPU"))
        {
            map.Require("uuid", "adapter");
            (string? uuid, string? alias) = ReadNames(map);
            string? adapter = map.Text("adapter", "the fid or address of a graphics adapter");
            if (adapter is not null && (!_byName.TryGetValue(adapter, out PciFunctionSetup? function) || function.Type.Name != "gpu"))
                map.Fail("adapter", $"adapter: \"{adapter}\" is no PCI function of type gpu; expected one of {List(_byName.Where(pair => pair.Value.Type.Name == "gpu").Select(pair => pair.Key))}");
            map.RefuseOthers();
            vgpus.Add(new VgpuDescription(uuid ?? "", alias, names.GetValueOrDefault(adapter ?? "", "")));
        }
        return vgpus;
    }

    /// <summary>UUID and alias of a mediated device.</summary>
    internal (string? Uuid, string? Alias) ReadNames(YamlMap map)
    {
        string? uuid = map.Text("uuid", "a UUID of 36 characters");
        if (uuid is not null && !Guid.TryParseExact(uuid, "D", out _))
            map.Fail("uuid", $"uuid: \"{uuid}\" is not a UUID; expected 36 characters such as 62177883-f1bb-47f0-914d-32a22e3a8804");
        uuid = uuid?.ToLowerInvariant();
        string? alias = map.Text("alias", "a short name");
        foreach ((string key, string? name) in (ReadOnlySpan<(string, string?)>)[("uuid", uuid), ("alias", alias)])
        {
            if (name is null)
                continue;
            if (!places.TryAdd(name, map.At(key)))
                map.Fail(key, $"{key}: \"{name}\" is used twice; the first time in line {places[name].Line}");
            names[name] = uuid ?? "";
        }
        return (uuid, alias);
    }

    /// <summary>The devices of a guest: its mdev, then its list of devices. Each device has one guest.</summary>
    internal List<string> ReadOfGuest(YamlMap map, string guest, Dictionary<string, string> users)
    {
        List<string> devices = [];
        if (map.Text("mdev", "the UUID or alias of an mdev") is { } mdev)
            Add("mdev", "mdev", mdev);
        foreach (string device in map.Texts("devices", "UUID, alias, fid or address of a device"))
            Add("devices", "device", device);
        return devices;

        void Add(string key, string what, string wanted)
        {
            if (!names.TryGetValue(wanted, out string? name))
                map.Fail(key, $"{what} \"{wanted}\" is not described; expected one of {List(names.Keys)}");
            else if (!users.TryAdd(name, guest))
                map.Fail(key, $"{what} \"{wanted}\" belongs to guest \"{users[name]}\" already; expected one guest for a device");
            else if (_byName.TryGetValue(wanted, out PciFunctionSetup? function) && !function.IsForGuests)
                map.Fail(key, $"{what} \"{wanted}\" has the host's own driver; expected one with \"driver: vfio-pci\"");
            else
                devices.Add(name);
        }
    }

    internal static string Fid(PciFunctionSetup function) => string.Create(CultureInfo.InvariantCulture, $"0x{function.Fid:x}");

    private static string List(IEnumerable<string> known) => string.Join(", ", known.DefaultIfEmpty("(none)"));
}

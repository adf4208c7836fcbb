using System.Globalization;
using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Host.Fuzzing;

/// <summary>
/// Random operations of every kind on a small machine, so that callers meet: few adapters, domains, mdevs and guests.
/// Injected faults end: what the hardware says agrees with what it does, and nothing is busy for ever (locking.md X2).
/// </summary>
internal sealed class FuzzOperations
{
    private const string MatrixPath = "/sys/devices/vfio_ap/matrix";
    private static readonly IReadOnlyList<string> Uuids =
        ["62177883-f1bb-47f0-914d-32a22e3a8804", "6e5ae7a4-9ee2-4d1e-8b12-7f2f9d3c0001", "cef03c3c-903d-4ecc-9a83-40694cb8aee4"];
    private static readonly IReadOnlyList<string> Guests = ["g1", "g2", "g3"];
    private static readonly IReadOnlyList<string> MdevFiles =
        ["assign_adapter", "assign_domain", "assign_control_domain", "unassign_adapter", "unassign_domain", "unassign_control_domain"];

    private readonly int[] _adapters;
    private readonly int[] _domains;
    private readonly VfioFuzzOperations _vfio;
    private SplitMix _random;
    private string _interrupted = "";

    internal FuzzOperations(ulong seed)
    {
        _random = new SplitMix(seed);
        _adapters = Some([2, 4, 5, 9]);
        _domains = Some([4, 0x47, 0xab, 0xff]);
        _vfio = new VfioFuzzOperations(new SplitMix(_random.Next()), Guests, Uuids, () => _interrupted.Length == 0 || Chance(3) ? Queue() : _interrupted[^8..^1]);
        Header = $$"""{"trace":"apvirt-trace/1","about":"fuzzed","host":{"apxa":true,"max_adapter":255,"max_domain":255,"adapters":{{Ids(_adapters)}},"domains":{{Ids(_domains)}},"control_domains":{{Ids(_domains)}},"type":"CEX8C hwtype 14","pv_aiv":{{(Chance(2) ? "true" : "false")}},{{VfioFuzzOperations.Functions}}},"apmask":"{{(Chance(4) ? "0x" + new string('f', 64) : "0x0")}}","aqmask":"0x{{new string('f', 64)}}"}""";
    }

    /// <summary>The header of the trace.</summary>
    internal string Header { get; }

    /// <summary>What an episode begins with, so that most operations find something to work on.</summary>
    internal IEnumerable<string> Prelude() =>
    [
        Write($"{MatrixPath}/mdev_supported_types/vfio_ap-passthrough/create", Uuids[0]),
        Write($"{MatrixPath}/{Uuids[0]}/ap_config", $"{ApMask.Of(_adapters)},{ApMask.Of(_domains)},{ApMask.Of(_domains)}"),
        .. _vfio.Prelude(),
    ];

    /// <summary>The next operation.</summary>
    internal string Next() => Chance(3) ? _vfio.Next() : _random.Below(24) switch
    {
        < 6 => Write($"{MatrixPath}/{Uuid()}/{Of(MdevFiles)}", Number(Chance(2) ? Adapter() : Domain())),
        6 => Write($"{MatrixPath}/{Uuid()}/ap_config", $"{Mask(_adapters)},{Mask(_domains)},{Mask(_domains)}"),
        7 => Read($"{MatrixPath}/{Uuid()}/{(Chance(2) ? "guest_matrix" : "ap_config")}"),
        8 => Chance(2) ? Read($"{MatrixPath}/{Uuid()}/matrix") : Read($"/sys/devices/ap/card{Adapter():x2}/{Queue()}/status"),
        9 or 10 => Write($"{MatrixPath}/mdev_supported_types/vfio_ap-passthrough/create", Uuid()),
        11 => Chance(3) ? Write($"{MatrixPath}/{Uuid()}/remove", "1") : Read("/sys/bus/ap/bindings"),
        12 => Write($"/sys/bus/ap/{(Chance(2) ? "apmask" : "aqmask")}", $"{(Chance(3) ? '+' : '-')}{Number(Chance(2) ? Adapter() : Domain())}"),
        13 or 14 => Write($"/sys/bus/ap/drivers/{(Chance(4) ? "cex4queue" : "vfio_ap")}/{(Chance(2) ? "bind" : "unbind")}", Queue()),
        15 or 16 => $$"""{"op":"guest.start","guest":"{{Of(Guests)}}","vcpus":2,"mdev":"{{Uuid()}}"{{(Chance(12) ? ",\"kvm\":false" : "")}}{{(Chance(12) ? ",\"ap\":false" : "")}}}""",
        17 => Chance(4) ? $$"""{"op":"guest.stop","guest":"{{Of(Guests)}}"}""" : $$"""{"op":"guest.detach","guest":"{{Of(Guests)}}","mdev":"{{Uuid()}}"}""",
        18 or 19 => $$"""{"op":"pqap.aqic",{{Interrupted()}},"enable":{{(Chance(3) ? "false" : "true")}},"isc":{{_random.Below(8)}},"nib":"0x{{(1 + _random.Below(4)) << 12:x}}"{{(Chance(10) ? ",\"pin_fail\":true" : "")}}}""",
        20 => $$"""{"op":"guest.zapq",{{Interrupted()}}}""",
        21 => Chance(2) ? $$"""{"op":"device.reset","mdev":"{{Uuid()}}"}""" : $$"""{"op":"dma.unmap","mdev":"{{Uuid()}}","iova":"0x{{_random.Below(4) << 12:x}}","length":"0x2000"}""",
        22 => Chance(3)
            ? $$"""{"op":"queue.state","apqn":"{{Queue()}}","state":"{{(Chance(2) ? "normal" : Chance(2) ? "deconfigured" : "checkstopped")}}"}"""
            : $$"""{"op":"queue.fault","apqn":"{{Queue()}}","insn":"{{Fault(out string codes)}}","rc":[{{codes}}]}""",
        _ => $$"""{"op":"host.config","adapters":{{Ids(Some(_adapters))}},"domains":{{Ids(Some(_domains))}},"control_domains":{{Ids(Some(_domains))}}}""",
    };

    // Often the guest and the queue of the time before, because what is armed is armed again, or reset, only then.
    private string Interrupted()
    {
        if (_interrupted.Length == 0 || Chance(3))
            _interrupted = $"\"guest\":\"{(Chance(2) ? Guests[0] : Of(Guests))}\",\"apqn\":\"{Queue()}\"";
        return _interrupted;
    }

    private string Fault(out string codes)
    {
        (string instruction, int[] possible) = _random.Below(3) switch
        {
            0 => ("zapq", new[] { 0x02, 0x05, 0x0a }),
            1 => ("tapq", new[] { 0x02, 0x05, 0x0a }),
            _ => ("aqic", new[] { 0x02, 0x05 }),
        };
        codes = string.Join(',', Enumerable.Range(0, 1 + _random.Below(3)).Select(_ => possible[_random.Below(possible.Length)]));
        return instruction;
    }

    private static string Write(string path, string data) => $$"""{"op":"write","path":"{{path}}","data":"{{data}}"}""";

    private static string Read(string path) => $$"""{"op":"read","path":"{{path}}"}""";

    private bool Chance(int outOf) => _random.Below(outOf) == 0;

    private string Of(IReadOnlyList<string> texts) => texts[_random.Below(texts.Count)];

    private string Uuid() => Of(Uuids);

    private int Adapter() => _adapters[_random.Below(_adapters.Length)];

    private int Domain() => _domains[_random.Below(_domains.Length)];

    private string Queue() => string.Create(CultureInfo.InvariantCulture, $"{Adapter():x2}.{Domain():x4}");

    private static string Number(int id) => id.ToString(CultureInfo.InvariantCulture);

    private int[] Some(int[] ids)
    {
        int[] some = [.. ids.Where(_ => !Chance(4))];
        return some.Length > 0 ? some : ids;
    }

    private string Mask(int[] ids) => ApMask.Of(Some(ids)).ToString();

    private static string Ids(int[] ids) => $"[{string.Join(',', ids)}]";
}

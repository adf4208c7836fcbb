using System.Globalization;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Host.Fuzzing;

/// <summary>
/// Random operations on what VFIO gives to guests: files of devices and VMs, containers, PCI functions, vGPUs, secure
/// execution, interrupts. Faults are one-shot, so that everything ends.
/// </summary>
/// <param name="random">Where chance comes from.</param>
/// <param name="guests">The guests.</param>
/// <param name="mdevs">The AP mdevs.</param>
/// <param name="queue">Draws a queue.</param>
internal sealed class VfioFuzzOperations(SplitMix random, IReadOnlyList<string> guests, IReadOnlyList<string> mdevs, Func<string> queue)
{
    /// <summary>The functions, as the header of a trace has them.</summary>
    internal const string Functions = """
        "pci":[{"fid":260,"type":"roce","uid":4096,"vfio":true},{"fid":264,"type":"nvme","uid":4097,"vfio":true},{"fid":512,"type":"gpu","uid":8192}]
        """;

    private const string Gpu = "2000:00:00.0";
    private static readonly IReadOnlyList<string> Vfio = ["1000:00:00.0", "1001:00:00.0"];
    private static readonly IReadOnlyList<string> Slots = ["00000104", "00000108"];
    private static readonly IReadOnlyList<string> Vgpus = ["aaaaaaaa-1111-4111-8111-111111111111", "bbbbbbbb-2222-4222-8222-222222222222"];
    private static readonly IReadOnlyList<string> Files = ["f1", "f2", "f3"];
    private static readonly IReadOnlyList<string> Steps =
        ["enable", "disable", "register_translation", "allocate", "configure", "allocate_bit", "allocate_vector", "register_interrupts", "deregister_interrupts"];
    private static readonly IReadOnlyList<string> Commands = ["enable", "disable", "async_prepare", "async_perform", "unshare_all", "verify"];
    private static readonly IReadOnlyList<string> Calls = ["create_vm", "create_cpu", "destroy_cpu"];

    private SplitMix _random = random;
    private string _file = "";

    /// <summary>What an episode begins with, so that most operations find something to work on.</summary>
    internal IEnumerable<string> Prelude() =>
    [
        Write($"/sys/bus/pci/devices/{Gpu}/mdev_supported_types/i915-GVTg_V5_4/create", Vgpus[0]),
        $$"""{"op":"guest.start","guest":"{{guests[0]}}","vcpus":2,"devices":["{{mdevs[0]}}","{{Vfio[0]}}"]}""",
        $$"""{"op":"guest.start","guest":"{{guests[1]}}","vcpus":2,"device":"{{Vgpus[0]}}"}""",
    ];

    internal string Next() => _random.Below(26) switch
    {
        0 or 1 => $$"""{"op":"guest.start",{{Guest()}},"vcpus":2,"devices":["{{Device()}}","{{Device()}}"]{{(Chance(4) ? ",\"req_irq\":false" : "")}}{{(Chance(4) ? ",\"iommufd\":true" : "")}}}""",
        2 => $$"""{"op":"guest.start",{{Guest()}},"vcpus":2,"device":"{{Device()}}"}""",
        3 => $$"""{"op":"guest.detach",{{Guest()}},"device":"{{Device()}}"}""",
        4 => Chance(4) ? $$"""{"op":"guest.close_vm",{{Guest()}}}""" : $$"""{"op":"guest.create",{{Guest()}},"vcpus":2}""",
        5 => $$"""{"op":"device.open",{{Guest()}},"device":"{{Device()}}","file":"{{Of(Files)}}"}""",
        6 => Chance(4) ? $$"""{"op":"group.close",{{Guest()}},"device":"{{Device()}}"}""" : $$"""{"op":"device.close",{{OpenFile()}}}""",
        7 => $$"""{"op":"cdev.open",{{OpenFile()}},"device":"{{Device()}}"}""",
        8 or 9 => $$"""{"op":"cdev.bind",{{OpenFile()}}}""",
        10 => $$"""{"op":"cdev.{{(Chance(3) ? "detach" : "attach")}}",{{OpenFile()}}}""",
        11 => Chance(3)
            ? $$"""{"op":"kvm.file_{{(Chance(2) ? "add" : "del")}}",{{Guest()}},"device":"{{Device()}}"}"""
            : $$"""{"op":"kvm.file_{{(Chance(3) ? "del" : "add")}}",{{OpenFile()}}}""",
        12 => Chance(6)
            ? $$"""{"op":"container.{{(Chance(2) ? "invalidate" : "update")}}",{{Guest()}},"iova":"0x0","length":"0x{{4UL << 30:x}}","address":"0x0"}"""
            : $$"""{"op":"{{(Chance(3) ? "ioas" : "container")}}.{{(Chance(2) ? "unmap" : "map")}}",{{Guest()}},"iova":"0x0","length":"0x{{(Chance(2) ? 4UL << 30 : 0x4000):x}}"}""",
        13 or 14 => $$"""{"op":"zpci.reg_aen",{{Guest()}},"device":"{{Of(Vfio)}}","aibv":"0x{{(1 + _random.Below(4)) << 12:x}}","isc":{{_random.Below(8)}},"noi":{{_random.Below(99)}}{{(Chance(2) ? ",\"aisb\":\"0x6008\"" : "")}}}""",
        15 => $$"""{"op":"zpci.dereg_aen",{{Guest()}},"device":"{{Of(Vfio)}}"}""",
        16 => $$"""{"op":"zpci.interrupt","device":"{{Of(Vfio)}}"}""",
        17 => $$"""{"op":"zpci.fault","device":"{{Of(Vfio)}}","step":"{{Of(Steps)}}"}""",
        18 => Chance(3) ? Write($"/sys/devices/pci2000:00/{Gpu}/{Of(Vgpus)}/remove", "1") : Write($"/sys/bus/pci/devices/{Gpu}/mdev_supported_types/i915-GVTg_V5_4/create", Of(Vgpus)),
        19 => _random.Below(8) switch
        {
            0 => $$"""{"op":"vgpu.read",{{VgpuPage()}},"bytes":5000}""",
            2 => $$"""{"op":"vgpu.{{(Chance(2) ? "interrupt\"" : "trigger\",\"set\":true")}},"mdev":"{{Of(Vgpus)}}"}""",
            1 => $$"""{"op":"vgpu.write",{{VgpuPage()}},"data":"command"}""",
            _ => $$"""{"op":"vgpu.map",{{VgpuPage()}},"pages":{{1 + _random.Below(3)}}}""",
        },
        20 => $$"""{"op":"guest.pv",{{Guest()}},"command":"{{Of(Commands)}}"{{(Chance(6) ? ",\"interrupted\":true" : "")}}}""",
        21 => Chance(3) ? $$"""{"op":"uv.fault","call":"{{Of(Calls)}}","error":"EIO"}""" : $$"""{"op":"guest.share",{{Guest()}},"address":"0x{{(1 + _random.Below(4)) << 12:x}}","shared":{{(Chance(3) ? "false" : "true")}}}""",
        22 or 23 => $$"""{"op":"queue.interrupt","apqn":"{{queue()}}"}""",
        24 => $$"""{"op":"guest.wait",{{Guest()}},"vcpu":1,"isc":[{{_random.Below(8)}},{{_random.Below(8)}}]}""",
        _ => Chance(2) ? Write($"/sys/bus/pci/slots/{Of(Slots)}/power", Chance(3) ? "0" : "1")
            : Chance(2) ? Write($"/sys/bus/pci/drivers/vfio-pci/{(Chance(3) ? "unbind" : "bind")}", Of(Vfio))
            : Write("/sys/bus/pci/rescan", "1"),
    };

    private string VgpuPage() => $"\"mdev\":\"{Of(Vgpus)}\",\"iova\":\"0x{_random.Below(6) << 12:x}\"";

    private string Device() => _random.Below(4) switch
    {
        0 => Of(Vgpus),
        1 or 2 => Of(Vfio),
        _ => Of(mdevs),
    };

    // Often the first, which the episode begins with.
    private string Guest() => $"\"guest\":\"{(Chance(2) ? guests[0] : Of(guests))}\"";

    // Often the guest and file of the time before, because a file is opened, made known, bound and closed one after another.
    private string OpenFile()
    {
        if (_file.Length == 0 || Chance(6))
            _file = $"{Guest()},\"file\":\"{Of(Files)}\"";
        return _file;
    }

    private static string Write(string path, string data) => string.Create(CultureInfo.InvariantCulture, $$"""{"op":"write","path":"{{path}}","data":"{{data}}"}""");

    private bool Chance(int outOf) => _random.Below(outOf) == 0;

    private string Of(IReadOnlyList<string> texts) => texts[_random.Below(texts.Count)];
}

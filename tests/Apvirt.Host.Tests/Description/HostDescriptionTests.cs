using Apvirt.Ap.Architecture;
using Apvirt.Host.Description;
using Apvirt.VfioPci.Pci;
using Apvirt.Host.Machines;
using Apvirt.Host.Tests.Machines;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Host.Tests.Description;

public sealed class HostDescriptionTests
{
    private const string Good = """
        adapters:
          - id: 5
            type: CEX8C
        domains: [0x04, 71]
        """;

    private static string[] Errors(string text) =>
        [.. HostDescriptionReader.Read("host.yaml", text, out _).Select(e => e.ToString())];

    [Fact]
    public void The_documented_example_is_read()
    {
        HostDescription host = DataPlaneTests.Read(Path.Combine(DataPlaneTests.ExampleFolder(), "three-guests.yaml"));
        Assert.Equal(["CEX8C", "CEX8A"], host.Adapters.Select(a => a.Type.ToString()));
        Assert.Equal([4, 0x47, 0xab, 0xff], host.Domains.ToList());
        Assert.Equal(host.Domains, host.ControlDomains);
        Assert.Equal(["G1", "G2", "G3"], host.Mdevs.Select(m => m.Alias));
        Assert.Equal([5, 6], host.Mdevs[0].Adapters.ToList());
        Assert.Equal("33333333-3333-4333-8333-333333333333", host.Guests[2].Devices.Single());
    }

    [Theory]
    [InlineData("three-guests.yaml")]
    [InlineData("three-consumers.yaml")]
    [InlineData("minimal.yaml")]
    [InlineData("large.yaml")]
    public void Examples_come_up_and_a_snapshot_describes_the_same_host(string example)
    {
        HostDescription description = DataPlaneTests.Read(Path.Combine(DataPlaneTests.ExampleFolder(), example));
        SimulationRuntime runtime = new();
        KernelTask task = runtime.CreateTask("test");
        VirtualHost host = runtime.Drive(VirtualHost.BootAsync(task, DescribedHost.ToSetup(description, scansByTimer: false)));
        Assert.Empty(runtime.Drive(DescribedHost.PopulateAsync(task, host, description)));
        Dictionary<string, string> aliases = description.Mdevs.Where(m => m.Alias is not null).ToDictionary(m => m.Uuid, m => m.Alias!);
        string text = HostDescriptionWriter.Write(DescribedHost.Snapshot(host, aliases));
        Assert.Empty(HostDescriptionReader.Read("snapshot", text, out HostDescription? again));
        Assert.Equal(text, HostDescriptionWriter.Write(again!));
        Assert.Equal(description.Adapters.Select(a => a.Type), again!.Adapters.Select(a => a.Type));
        Assert.Equal(description.Domains, again.Domains);
        Assert.Equal(description.Mdevs, again.Mdevs);
        Assert.Equal(description.PciFunctions, again.PciFunctions);
        Assert.Equivalent(description.Guests.OrderBy(g => g.Name, StringComparer.Ordinal), again.Guests, strict: true);
    }

    [Fact]
    public void What_is_written_is_read_back()
    {
        SplitMix random = new(5);
        for (int round = 0; round < 50; round++)
        {
            HostDescription host = new()
            {
                Machine = new MachineDescription { MaxDomain = random.Below(256), Zvm = random.Below(2) == 0, ConfigTime = 5 + random.Below(100) },
                Adapters =
                [
                    new AdapterDescription(ApMask.Of(random.Below(100)), new(10 + random.Below(5), Apvirt.Ap.Hardware.AdapterType.Ep11Functions, Depth: 1 + random.Below(20), Serial: "A \"b\\")),
                    new AdapterDescription(ApMask.Of(100 + random.Below(100), 250), new(9, 0x12400000), Configured: false, Checkstopped: true),
                ],
                Domains = ApMask.Of(Enumerable.Range(0, 1 + random.Below(9)).Select(_ => random.Below(256))),
                ControlDomains = ApMask.Of(Enumerable.Range(0, random.Below(9)).Select(_ => random.Below(256))),
                ApMaskText = "+1,2".Replace(",2", ",+2", StringComparison.Ordinal),
                Mdevs = [new MdevDescription("62177883-f1bb-47f0-914d-32a22e3a8804", "a: b", ApMask.Of(random.Below(256)), ApMask.None, ApMask.Of(3))],
                PciFunctions =
                [
                    new PciFunctionSetup(0x104, PciFunctionType.Find("roce")!) { Uid = 0x1001, Pchid = 0x1c0, Vfn = 2, Port = 2, InterruptsMax = 64, IommuGroup = "a b", IsForGuests = true },
                    new PciFunctionSetup(0x200, PciFunctionType.Find("gpu")!) { Uid = 0x2000 },
                ],
                Vgpus = [new VgpuDescription("6e5ae7a4-9ee2-4d1e-8b12-7f2f9d3c0001", "picture", "2000:00:00.0")],
                Guests = [new GuestDescription { Name = "true", Devices = ["62177883-f1bb-47f0-914d-32a22e3a8804", "1001:00:00.0", "6e5ae7a4-9ee2-4d1e-8b12-7f2f9d3c0001"], Vcpus = 3, Gisa = false, MemoryBytes = 1 << 20 }],
            };
            Assert.Empty(HostDescriptionReader.Read("w", HostDescriptionWriter.Write(host), out HostDescription? again));
            Assert.Equal(host.Machine, again!.Machine);
            Assert.Equal(host.Adapters, again.Adapters);
            Assert.Equal((host.Domains, host.ControlDomains, host.ApMaskText), (again.Domains, again.ControlDomains, again.ApMaskText));
            Assert.Equal(host.Mdevs, again.Mdevs);
            Assert.Equal(host.PciFunctions, again.PciFunctions);
            Assert.Equal(host.Vgpus, again.Vgpus);
            Assert.Equivalent(host.Guests, again.Guests, strict: true);
        }
    }

    [Fact]
    public void An_unknown_type_names_place_and_expectation() =>
        Assert.Equal(
            ["host.yaml:3:11: adapter type \"CEX9C\" is not known; expected CEX4 to CEX8 followed by A, C or P"],
            Errors(Good.Replace("CEX8C", "CEX9C", StringComparison.Ordinal)));

    [Fact]
    public void All_errors_are_found_not_only_the_first()
    {
        string[] errors = Errors("""
            adapters:
              - id: 300
                type: CEX9C
            domains: [4, x]
            gests: []
            apmask: "0xzz"
            """);
        Assert.Collection(
            errors,
            e => Assert.StartsWith("host.yaml:2:9: id: \"300\" is not an id; expected an id from 0 to 255", e, StringComparison.Ordinal),
            e => Assert.StartsWith("host.yaml:3:11: adapter type", e, StringComparison.Ordinal),
            e => Assert.StartsWith("host.yaml:4:14: domains: \"x\" is not an id", e, StringComparison.Ordinal),
            e => Assert.Equal("host.yaml:5:1: host: the key \"gests\" is not known; did you mean \"guests\"?", e),
            e => Assert.StartsWith("host.yaml:6:9: apmask: \"0xzz\" is not a mask", e, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("", "host.yaml:1:1: the file is empty")]
    [InlineData("- 1", "host.yaml:1:1: host: expected keys with values")]
    [InlineData("domains: 4", "host.yaml:1:1: host: the key \"adapters\" is missing")]
    [InlineData("adapters: [\ndomains: 1", "host.yaml:2:1: this is not YAML: the text ends in the middle")]
    [InlineData("adapters: }", "host.yaml:1:11: this is not YAML")]
    [InlineData("adapters: 5\ndomains: 1", "host.yaml:1:11: adapters: expected a list")]
    [InlineData("adapters: []\ndomains: 1\nmachine:\n  apxa: maybe", "host.yaml:4:9: apxa: \"maybe\" is neither true nor false")]
    [InlineData("adapters: []\ndomains: 1\nmachine:\n  max_domain: 256", "host.yaml:4:15: max_domain: \"256\" is not a number from 0 to 255")]
    [InlineData("adapters: []\ndomains: 1\nmachine:\n  profile: linux-7", "host.yaml:4:12: profile: \"linux-7\" is not known; expected linux-6.12")]
    [InlineData("adapters: []\ndomains: 1\nguests:\n  - name: g\n    mdev: nosuch", "host.yaml:5:11: mdev \"nosuch\" is not described")]
    [InlineData("adapters: []\ndomains: 1\nguests:\n  - name: g\n    memory: lots", "host.yaml:5:13: memory: \"lots\" is not a size; expected bytes, such as 4G or 512M")]
    [InlineData("adapters: []\ndomains: 1\nguests:\n  - name: g\n  - name: g", "host.yaml:5:11: guest \"g\" is described twice; the first time in line 4")]
    [InlineData("adapters: []\ndomains: 1\nmdevs:\n  - uuid: x", "host.yaml:4:11: uuid: \"x\" is not a UUID")]
    [InlineData("adapters:\n  - id: 5\n    type: CEX8C\n  - id: 4-6\n    type: CEX8C\ndomains: 1", "host.yaml:4:9: adapter 0x05 is described twice; the first time in line 2")]
    [InlineData("adapters: []\ndomains: 1\npci:\n  - fid: 1\n    type: ism\n    util: 12345678901234567890123456789012345678901234567890123456789012345", "host.yaml:6:11: util: 65 characters; expected at most 64")]
    [InlineData("adapters: []\nadapters: []\ndomains: 1", "host.yaml:2:1: this is not YAML")]
    [InlineData("adapters: []\ndomains: 1\n---\na: 1", "host.yaml:4:1: a second document begins here")]
    public void Each_mistake_has_its_place(string text, string expected) =>
        Assert.Contains(Errors(text), e => e.StartsWith(expected, StringComparison.Ordinal));

    [Fact]
    public void Two_mdevs_cannot_share_a_queue() =>
        Assert.Equal(
            ["host.yaml:12:15: queue 05.0047 is assigned to mdev one already; expected each queue in one mdev (EADDRINUSE)"],
            Errors($"""
                {Good}
                mdevs:
                  - uuid: 62177883-f1bb-47f0-914d-32a22e3a8804
                    alias: one
                    adapters: [5]
                    domains: [4, 0x47]
                  - uuid: 6e5ae7a4-9ee2-4d1e-8b12-7f2f9d3c0001
                    domains: [0x47]
                    adapters: [5, 6]
                """));
}

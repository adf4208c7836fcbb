using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Devices.Sysfs;
using Apvirt.Host.Explaining;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Host.Tests.Explaining;

/// <summary>Each reason why a queue is not in a guest, what is said about it, and that the command offered changes it.</summary>
public sealed class ExplainerTests
{
    private const string M = "62177883-f1bb-47f0-914d-32a22e3a8804";
    private const string Queue = "04.0047";

    private readonly SimulationRuntime _runtime = new();
    private readonly KernelTask _task;
    private readonly VirtualHost _host;

    public ExplainerTests()
    {
        _task = _runtime.CreateTask("test");
        _host = _runtime.Drive(VirtualHost.BootAsync(_task, new MachineSetup
        {
            Configuration = new QciInfo(ApFeatures.Apsc | ApFeatures.Apxa, 255, 255, ApMask.Of(4, 5), ApMask.Of(4, 0x47), ApMask.Of(4, 0x47)),
            Adapters = Enumerable.Range(0, 256).ToDictionary(id => id, _ => new AdapterType(14, AdapterType.CcaFunctions)),
            Bus = new ApBusOptions { ScansByTimer = false, UseInterrupts = false },
        }));
    }

    private Errno Write(string path, string text) => _runtime.Drive(_host.Tree.WriteAsync(_task, path, Encoding.ASCII.GetBytes(text)));

    private void Assign(int adapter, params int[] domains)
    {
        Assert.Equal(Errno.Ok, Write("/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create", M));
        Assert.Equal(Errno.Ok, Write($"/sys/devices/vfio_ap/matrix/{M}/assign_adapter", adapter.ToString()));
        foreach (int domain in domains)
            Assert.Equal(Errno.Ok, Write($"/sys/devices/vfio_ap/matrix/{M}/assign_domain", domain.ToString()));
    }

    private void Start() => Assert.Equal(Errno.Ok, _runtime.Drive(_host.Guests.StartAsync(_task, "g", [M], new GuestOptions())));

    private Explanation? Explain(string subject)
    {
        TreeSource source = new(_host.Tree, (path, text) => _runtime.Drive(_host.Tree.ReadAsync(_task, path, text)));
        Dictionary<string, IReadOnlyList<string>> guests = _host.Guests.List().ToDictionary(
            g => g.Name, IReadOnlyList<string> (g) => [.. g.Devices.Select(d => d.DeviceName)], StringComparer.Ordinal);
        return new Explainer(ApSysfs.Read(source)!, new Dictionary<string, string>(StringComparer.Ordinal) { [M] = "M" }, guests).Explain(subject);
    }

    private string[] Text(string subject) => [.. Explain(subject)!.Lines.Select(line => $"{(line.IsObstacle ? "!" : " ")} {line.Topic}: {line.Text}")];

    // Does what the first obstacle's first command says.
    private void Follow(string subject)
    {
        string command = Explain(subject)!.Lines.First(line => line.IsObstacle).Commands[0];
        foreach (string part in command.Split("; "))
        {
            string[] words = part.Split(' ');
            Assert.Equal(["echo", ">"], [words[0], words[2]]);
            Assert.Equal(Errno.Ok, Write(words[3], words[1]));
        }
    }

    [Fact]
    public void A_queue_of_the_host_names_both_mask_bits()
    {
        Assert.Equal(
            [
                "  device: 04.0047 exists, a queue of a CEX8C",
                "  belongs to: the host's drivers: apmask has bit 0x04 and aqmask has bit 0x0047",
                "  bound to: cex4queue",
                "  assigned: to no mediated device; none can have it while it is the host's",
            ],
            Text(Queue));
        Assert.Equal("echo -0x04 > /sys/bus/ap/apmask   (gives the whole adapter away)", Explain(Queue)!.Lines[1].Commands[0]);
    }

    [Theory]
    [InlineData("/sys/bus/ap/apmask", "-4", "apmask lacks bit 0x04")]
    [InlineData("/sys/bus/ap/aqmask", "-0x47", "aqmask lacks bit 0x0047")]
    public void A_queue_for_guests_names_the_bit_that_is_clear(string path, string text, string expected)
    {
        Assert.Equal(Errno.Ok, Write(path, text));
        Assert.Contains($"  belongs to: vfio_ap: {expected}", Text(Queue));
        Assert.Contains("! assigned: to no mediated device", Text(Queue));
    }

    [Fact]
    public void An_assigned_queue_without_a_guest_waits_for_one_and_then_is_there()
    {
        Write("/sys/bus/ap/apmask", "-4");
        Assign(4, 4, 0x47);
        Assert.Equal($"! guest: none has {M} (M) open; the next one that opens it gets the queue", Text(Queue)[^1]);
        Start();
        Assert.Equal("  guest: guest g has it", Text(Queue)[^1]);
        Assert.Equal(["  device: it has " + M + " (M) open", "  matrix: adapters 04 x domains 0004 0047", "  guest: guest g has the device open", "  guest: adapter 04 is in the guest"], Text("g"));
        Assert.Equal(Text("M"), Text(M));
    }

    [Fact]
    public void The_unbound_queue_that_drags_its_adapter_out_is_named_and_binding_it_helps()
    {
        Write("/sys/bus/ap/apmask", "-4");
        Assert.Equal(Errno.Ok, Write("/sys/bus/ap/drivers/vfio_ap/unbind", "04.0004"));
        Assign(4, 4, 0x47);
        Start();
        Assert.Equal("! guest: adapter 04 is withheld whole because queue 04.0004 has no driver", Text(Queue)[^1]);
        Follow(Queue);
        Assert.Equal("  guest: guest g has it", Text(Queue)[^1]);
    }

    [Fact]
    public void An_assigned_domain_that_the_host_has_not_is_named()
    {
        Write("/sys/bus/ap/apmask", "-4");
        Assign(4, 4, 0x48);
        Start();
        Assert.Contains("! domains: 0048 withheld: not in the host's configuration", Text(M));
        Assert.Equal("! device: there is no 04.0048: domain 0048 is no usage domain of the host's configuration", Text("04.0048")[0]);
        Assert.Equal("! guest: domain 0048 is withheld: not in the host's configuration", Text("04.0048")[^1]);
    }

    [Fact]
    public void An_adapter_that_the_host_has_not_is_named()
    {
        Write("/sys/bus/ap/apmask", "-9");
        Assign(9, 0x47);
        Assert.Equal("! device: there is no 09.0047: adapter 09 is not in the host's configuration", Text("09.0047")[0]);
        Assert.Equal("! guest: adapter 09 is withheld: not in the host's configuration", Text("09.0047")[^1]);
    }

    [Fact]
    public void A_failed_reset_is_what_is_left_and_binding_again_helps()
    {
        Write("/sys/bus/ap/apmask", "-4");
        Assign(4, 4, 0x47);
        Start();
        Assert.True(_host.Hardware.Inject(ApqnOf(Queue), ApInstruction.Zapq, [ApResponse.InvalidAddress], isSticky: true));
        Assert.Equal(Errno.Ok, Write($"/sys/devices/vfio_ap/matrix/{M}/unassign_adapter", "4"));
        Assert.True(_host.Hardware.Inject(ApqnOf(Queue), ApInstruction.Zapq, [], isSticky: false));
        Assert.Equal(Errno.Ok, Write($"/sys/devices/vfio_ap/matrix/{M}/assign_adapter", "4"));
        Assert.StartsWith("! guest: adapter 04 is withheld although all its queues are bound to vfio_ap: the reset of one failed", Text(Queue)[^1], StringComparison.Ordinal);
        Assert.Equal(
            "for q in 04.0004 04.0047; do echo $q > /sys/bus/ap/drivers/vfio_ap/unbind; echo $q > /sys/bus/ap/drivers/vfio_ap/bind; done",
            Explain(Queue)!.Lines[^1].Commands[1]);
        foreach (string queue in (string[])["04.0004", Queue])
        {
            Assert.Equal(Errno.Ok, Write("/sys/bus/ap/drivers/vfio_ap/unbind", queue));
            Assert.Equal(Errno.Ok, Write("/sys/bus/ap/drivers/vfio_ap/bind", queue));
        }
        Assert.Equal("  guest: guest g has it", Text(Queue)[^1]);
    }

    [Fact]
    public void A_domain_unassigned_without_filtering_again_is_what_is_left_and_assigning_again_helps()
    {
        Write("/sys/bus/ap/apmask", "-4");
        Assert.Equal(Errno.Ok, Write("/sys/bus/ap/drivers/vfio_ap/unbind", "04.0004"));
        Assign(4, 4, 0x47);
        Start();
        Assert.Equal(Errno.Ok, Write($"/sys/devices/vfio_ap/matrix/{M}/unassign_domain", "4"));
        Assert.Contains("6.12 does not", Text(Queue)[^1], StringComparison.Ordinal);
        Follow(Queue);
        Assert.Equal("  guest: guest g has it", Text(Queue)[^1]);
    }

    [Fact]
    public void Nothing_is_said_of_what_does_not_exist()
    {
        Assert.Null(Explain("nosuch"));
        Assert.Null(Explain("00000000-0000-4000-8000-000000000001"));
    }

    [Fact]
    public void A_tree_without_an_ap_bus_is_none() => Assert.Null(ApSysfs.Read(new DirectorySource(Path.GetTempPath())));

    private static Apqn ApqnOf(string name)
    {
        Assert.True(Apqn.TryParse(name, out Apqn apqn));
        return apqn;
    }
}

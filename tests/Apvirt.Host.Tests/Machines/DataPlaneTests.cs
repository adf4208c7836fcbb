using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Host.Description;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Host.Tests.Machines;

/// <summary>What really goes through a queue, and what is lost when the queue is withdrawn.</summary>
public sealed class DataPlaneTests
{
    private static readonly Apqn Queue = Apqn.Of(5, 4);
    private static readonly byte[] Echo = ClearKeyMessage.Encode((ushort)ClearKeyFunction.Echo, "request"u8.ToArray());

    private readonly SimulationRuntime _runtime = new();
    private readonly KernelTask _task;
    private readonly VirtualHost _host;

    public DataPlaneTests()
    {
        _task = _runtime.CreateTask("test");
        HostDescription description = Read(Path.Combine(ExampleFolder(), "three-guests.yaml"));
        _host = _runtime.Drive(VirtualHost.BootAsync(_task, DescribedHost.ToSetup(description, scansByTimer: false)));
        Assert.Empty(_runtime.Drive(DescribedHost.PopulateAsync(_task, _host, description)));
    }

    internal static string ExampleFolder()
    {
        DirectoryInfo? at = new(AppContext.BaseDirectory);
        while (at is not null && !File.Exists(Path.Combine(at.FullName, "Apvirt.slnx")))
            at = at.Parent;
        return Path.Combine(at!.FullName, "examples");
    }

    internal static HostDescription Read(string path)
    {
        Assert.Empty(HostDescriptionReader.Read(path, File.ReadAllText(path), out HostDescription? description));
        return description!;
    }

    private Errno Write(string path, string text) => _runtime.Drive(_host.Tree.WriteAsync(_task, path, System.Text.Encoding.ASCII.GetBytes(text)));

    [Fact]
    public void A_guest_reaches_its_own_queues_only()
    {
        IApInstructions guest = _host.Guests.InstructionsOf(_host.Guests.Find("g1")!);
        Assert.Equal(ApResponse.Normal, guest.Nqap(Queue, 1, Echo).Code);
        Assert.Equal(ApResponse.Normal, guest.Dqap(Queue, out ulong psmid, out _).Code);
        Assert.Equal(1u, psmid);
        Assert.Equal(ApResponse.NotAvailable, guest.Nqap(Apqn.Of(5, 0x47), 2, Echo).Code);
        Assert.True(guest.TryQueryConfiguration(out QciInfo info));
        Assert.Equal([5, 6], info.Apm.ToList());
        Assert.Equal([4, 0xab], info.Aqm.ToList());
    }

    [Fact]
    public void A_queue_withdrawn_while_busy_loses_the_request()
    {
        _host.Hardware.RequestTime = TimeSpan.FromSeconds(5);
        IApInstructions guest = _host.Guests.InstructionsOf(_host.Guests.Find("g1")!);
        Assert.Equal(ApResponse.Normal, guest.Nqap(Queue, 1, Echo).Code);
        Assert.Equal(Errno.Ok, Write("/sys/bus/ap/drivers/vfio_ap/unbind", "05.00ab"));
        Assert.Equal(ApResponse.NotAvailable, guest.Dqap(Queue, out _, out _).Code);
        Assert.Equal(1, _host.Hardware.LostRequests);
        Assert.Equal(Errno.Ok, Write("/sys/bus/ap/drivers/vfio_ap/bind", "05.00ab"));
        _runtime.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(ApResponse.NoPendingReply, guest.Dqap(Queue, out _, out _).Code);
    }

    [Fact]
    public void A_guest_has_an_ap_bus_of_its_own_that_sees_hot_unplug()
    {
        GuestProcess g1 = _host.Guests.Find("g1")!;
        ApBus bus = _runtime.Drive(_host.Guests.BootGuestBusAsync(_task, g1));
        Assert.Equal(["05.0004", "05.00ab", "06.0004", "06.00ab"], bus.Queues().Select(q => q.Name));
        Assert.All(bus.Queues(), q => Assert.Equal("cex4queue", q.Driver!.Name));
        Assert.Equal(Errno.Ok, Write("/sys/bus/ap/drivers/vfio_ap/unbind", "05.0004"));
        Assert.True(_runtime.Drive(bus.ScanAsync(_task), TimeSpan.FromSeconds(1)));
        Assert.Equal(["06.0004", "06.00ab"], bus.Queues().Select(q => q.Name));
    }

    [Fact]
    public void A_request_of_the_host_comes_back_or_ends_with_EAGAIN_when_the_queue_is_taken_away()
    {
        Assert.Equal(Errno.Ok, Write("/sys/bus/ap/aqmask", "-4"));
        Assert.Equal(Errno.Ok, _runtime.Drive(_host.Guests.StopAsync(_task, "g2")));
        Assert.Equal(Errno.Ok, Write("/sys/devices/vfio_ap/matrix/22222222-2222-4222-8222-222222222222/remove", "1"));
        Assert.Equal(Errno.Ok, _runtime.Drive(_host.Guests.StopAsync(_task, "g1")));
        Assert.Equal(Errno.Ok, Write("/sys/devices/vfio_ap/matrix/11111111-1111-4111-8111-111111111111/remove", "1"));
        Assert.Equal(Errno.Ok, Write("/sys/bus/ap/apmask", "+5"));
        ApQueue queue = _host.ApBus.FindQueue(Apqn.Of(5, 0x47))!;
        Assert.Equal("cex4queue", queue.Driver!.Name);
        _runtime.Advance(TimeSpan.FromSeconds(1));
        HostRequest done = _runtime.Drive(QueueMachine.SendAsync(_task, queue, Echo));
        Assert.Equal(Errno.Ok, done.Error);
        Assert.True(ClearKeyMessage.TryDecode(done.Reply.Span, out _, out byte[][] operands));
        Assert.Equal("request"u8.ToArray(), operands[0]);
        Assert.Equal(1, queue.RequestCount);
        _host.Hardware.RequestTime = TimeSpan.FromHours(1);
        HostRequest? lost = null;
        _runtime.Spawn("sender", async task => lost = await QueueMachine.SendAsync(task, queue, Echo));
        _runtime.Advance(TimeSpan.FromMilliseconds(10));
        Assert.Null(lost);
        Assert.Equal(Errno.Ok, Write("/sys/bus/ap/apmask", "-5"));
        _runtime.Advance(TimeSpan.Zero);
        Assert.Equal(Errno.EAGAIN, lost!.Error);
        Assert.Equal("vfio_ap", queue.Driver!.Name);
    }
}

using Apvirt.Ap.Profiles;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Host.Traces;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Host.Tests.Machines;

/// <summary>Interrupts of queues reach vCPUs that wait for them (kvm.md §6, V08, I20).</summary>
public sealed class InterruptTests
{
    private const string M = "62177883-f1bb-47f0-914d-32a22e3a8804";

    private readonly SimulationRuntime _runtime = new() { Checks = new KernelChecks(Host.Checks.LockOrder.Declared) };
    private readonly KernelTask _task;
    private readonly VirtualHost _host;

    public InterruptTests()
    {
        _task = _runtime.CreateTask("test");
        Assert.Null(new TraceReader("header", System.Text.Encoding.ASCII.GetBytes(
            """{"trace":"apvirt-trace/1","about":"interrupts","host":{"apxa":true,"max_adapter":255,"max_domain":255,"adapters":[4],"domains":[4,5],"control_domains":[4],"type":"CEX8C hwtype 14"},"apmask":"0x0","aqmask":"0x0"}""")).ReadHeader(out TraceHeader? header));
        _host = _runtime.Drive(VirtualHost.BootAsync(_task, header!.ToSetup() with { Profile = Profile.Strict }));
        Run($$"""{"op":"write","path":"/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create","data":"{{M}}"}""");
        Run($$"""{"op":"write","path":"/sys/devices/vfio_ap/matrix/{{M}}/ap_config","data":"0x08,0x0c,0x0\n"}""");
        Run($$"""{"op":"guest.start","guest":"g","mdev":"{{M}}","vcpus":3}""");
        Assert.Equal("\"rc\":0", Run("""{"op":"pqap.aqic","guest":"g","apqn":"04.0004","enable":true,"isc":3,"nib":"0x2000"}"""));
        Assert.Equal("\"rc\":0", Run("""{"op":"pqap.aqic","guest":"g","apqn":"04.0005","enable":true,"isc":5,"nib":"0x2008"}"""));
    }

    private GuestProcess Guest => _host.Guests.Find("g")!;

    private string Run(string operation) => Answer(operation, _runtime.Drive(RunAsync(operation, _task)));

    private async ValueTask<string> RunAsync(string operation, KernelTask task)
    {
        using TraceLine line = OperationRunner.Parse(operation);
        return (await OperationRunner.RunAsync(_host, task, line)).Line;
    }

    private static string Answer(string operation, string line) => line[(operation.Length - 1)..].TrimStart(',').TrimEnd('}');

    // Begins to wait; the answer comes when it comes.
    private Func<string> Wait(int vcpu, params int[] subclasses)
    {
        string answer = "waits";
        string operation = $$"""{"op":"guest.wait","guest":"g","vcpu":{{vcpu}},"isc":[{{string.Join(',', subclasses)}}]}""";
        _runtime.Spawn($"vcpu {vcpu}", async task => answer = Answer(operation, await RunAsync(operation, task)));
        _runtime.Advance(TimeSpan.Zero);
        return () => answer;
    }

    private void Interrupt(string queue)
    {
        Run($$"""{"op":"queue.interrupt","apqn":"{{queue}}"}""");
        _runtime.Advance(TimeSpan.FromMilliseconds(1));
    }

    private void AssertClean()
    {
        _host.Checks!.Ended(_task, Errno.Ok, writesBefore: null);
        Assert.Empty(_runtime.Checks!.Violations.ToArray().Select(v => v.ToString()));
    }

    [Fact]
    public void One_that_waits_is_woken_and_takes_what_it_is_enabled_for()
    {
        Func<string> three = Wait(0, 3);
        Func<string> five = Wait(1, 5);
        Assert.Equal(("waits", "waits", 2), (three(), five(), Guest.Machine.Gisa.IdleVcpus));
        Interrupt("04.0005");
        Assert.Equal(("waits", "\"taken\":5"), (three(), five()));
        Interrupt("04.0004");
        Assert.Equal("\"taken\":3", three());
        Assert.Equal((0, 0x14), (Guest.Machine.Gisa.Pending, (int)Guest.Machine.Gisa.Alerting));
        AssertClean();
    }

    [Fact]
    public void One_interrupt_wakes_one_of_several()
    {
        Func<string>[] waiting = [Wait(0, 3), Wait(1, 3), Wait(2, 3)];
        Interrupt("04.0004");
        Assert.Equal(1, waiting.Count(answer => answer() == "\"taken\":3"));
        Assert.Equal(2, waiting.Count(answer => answer() == "waits"));
        AssertClean();
    }

    [Fact]
    public void What_nobody_waits_for_stays_pending_and_is_taken_at_once_later()
    {
        Func<string> other = Wait(0, 5);
        Interrupt("04.0004");
        // No vCPU can take it, so the host does not alert again until it is taken.
        Assert.Equal((0x10, 0, "waits"), (Guest.Machine.Gisa.Pending, (int)Guest.Machine.Gisa.Alerting, other()));
        Interrupt("04.0005");
        Assert.Equal("\"taken\":5", other());
        Assert.Equal("\"taken\":3", Wait(1, 3)());
        _runtime.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal((0, 0x14), (Guest.Machine.Gisa.Pending, (int)Guest.Machine.Gisa.Alerting));
        AssertClean();
    }

    [Fact]
    public void The_lowest_subclass_comes_first()
    {
        Interrupt("04.0005");
        Interrupt("04.0004");
        Assert.Equal("\"taken\":3", Wait(0, 3, 5)());
        Assert.Equal("\"taken\":5", Wait(0, 3, 5)());
        AssertClean();
    }

    [Fact]
    public void A_queue_that_is_not_armed_interrupts_nobody()
    {
        Assert.Equal("\"rc\":0", Run("""{"op":"pqap.aqic","guest":"g","apqn":"04.0004","enable":false,"isc":3,"nib":"0x2000"}"""));
        Assert.Equal("\"guest\":\"\"", Run("""{"op":"queue.interrupt","apqn":"04.0004"}"""));
        Assert.Equal(0x04, Guest.Machine.Gisa.Alerting);
        Assert.Equal(0, Guest.Machine.Gisa.Pending);
    }

    [Fact]
    public void A_guest_becomes_secure_while_its_vcpus_wait_and_they_wait_on()
    {
        Func<string> waiting = Wait(0, 3);
        Assert.Equal("\"result\":\"ok\"", Run("""{"op":"guest.pv","guest":"g","command":"enable"}"""));
        Assert.Equal(("waits", 1), (waiting(), Guest.Machine.Gisa.IdleVcpus));
        Interrupt("04.0004");
        Assert.Equal("\"taken\":3", waiting());
        AssertClean();
    }

    [Fact]
    public void The_end_of_the_guest_ends_the_waits_and_the_vm()
    {
        Func<string> waiting = Wait(0, 3);
        Apvirt.Kvm.Machines.VirtualMachine machine = Guest.Machine;
        Assert.Equal("\"result\":\"ok\"", Run("""{"op":"guest.stop","guest":"g"}"""));
        _runtime.Advance(TimeSpan.Zero);
        Assert.Equal(("\"result\":\"EINTR\"", 0), (waiting(), machine.References));
        AssertClean();
    }

    [Fact]
    public void A_secure_guest_shares_the_page_of_a_notification_byte_or_is_refused()
    {
        const string Arm = """{"op":"pqap.aqic","guest":"g","apqn":"04.0004","enable":true,"isc":3,"nib":"0x4000"}""";
        Assert.Equal("\"rc\":0", Run("""{"op":"pqap.aqic","guest":"g","apqn":"04.0004","enable":false,"isc":3,"nib":"0x2000"}"""));
        Run("""{"op":"guest.share","guest":"g","address":"0x4000","shared":false}""");
        // An ordinary guest has nothing to share.
        Assert.Equal("\"rc\":0", Run(Arm));
        Run("""{"op":"pqap.aqic","guest":"g","apqn":"04.0004","enable":false,"isc":3,"nib":"0x4000"}""");
        Run("""{"op":"guest.pv","guest":"g","command":"enable"}""");
        Assert.Equal("\"rc\":6", Run(Arm));
        Assert.Equal("\"pins\":1,\"gisc\":[0,0,0,0,0,1,0,0]", Run("""{"op":"guest.irq_state","guest":"g"}"""));
        Run("""{"op":"guest.share","guest":"g","address":"0x4000","shared":true}""");
        Assert.Equal("\"rc\":0", Run(Arm));
        Run("""{"op":"pqap.aqic","guest":"g","apqn":"04.0004","enable":false,"isc":3,"nib":"0x4000"}""");
        Run("""{"op":"guest.pv","guest":"g","command":"unshare_all"}""");
        Assert.Equal("\"rc\":6", Run(Arm));
        AssertClean();
    }
}

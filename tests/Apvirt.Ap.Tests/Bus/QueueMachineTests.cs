using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Kernel;

namespace Apvirt.Ap.Tests.Bus;

/// <summary>The machine of a default-driver queue (ap-bus.md §9) and the host's own requests.</summary>
public sealed class QueueMachineTests
{
    private const string Path = "/sys/devices/ap/card01/01.0004/";
    private const string Card = "/sys/devices/ap/card01/";

    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(40);
    private static readonly byte[] Message = ClearKeyMessage.Encode((ushort)ClearKeyFunction.Echo, [1, 2, 3]);

    private readonly TestHost _host = new();

    [Fact]
    public void AQueueComesUpInStepsOf40Milliseconds()
    {
        Assert.Equal("Reset in progress.\n", _host.Read(Path + "reset"));
        Assert.Equal("Interrupts disabled.\n", _host.Read(Path + "interrupt"));
        _host.Runtime.Advance(Step - TimeSpan.FromTicks(1));
        Assert.Equal("Reset in progress.\n", _host.Read(Path + "reset"));
        _host.Runtime.Advance(TimeSpan.FromTicks(1));
        Assert.Equal("No Reset Timer set.\n", _host.Read(Path + "reset"));
        Assert.Equal("Enable Interrupt pending.\n", _host.Read(Path + "interrupt"));
        _host.Runtime.Advance(Step);
        Assert.Equal("Interrupts enabled.\n", _host.Read(Path + "interrupt"));
        Assert.Equal(QueueMachineState.Idle, _host.Queue(1, 4).MachineState);
        Assert.Equal(QueueDeviceState.Operating, _host.Queue(1, 4).DeviceState);
    }

    [Fact]
    public void WithoutInterruptsAQueueIsIdleAfterItsReset()
    {
        TestHost host = new(new TestSetup { Options = new() { ScansByTimer = false, UseInterrupts = false } });
        host.Runtime.Advance(Step);
        Assert.Equal(QueueMachineState.Idle, host.Queue(1, 4).MachineState);
        Assert.Equal("Interrupts disabled.\n", host.Read(Path + "interrupt"));
    }

    [Fact]
    public void AResetThatTakesLongerIsPolledUntilItIsDone()
    {
        TestHost host = new(new TestSetup { Prepare = hardware => hardware.ResetTime = TimeSpan.FromMilliseconds(100) });
        host.Runtime.Advance(2 * Step);
        Assert.Equal("Reset in progress.\n", host.Read(Path + "reset"));
        host.Runtime.Advance(Step);
        Assert.Equal("No Reset Timer set.\n", host.Read(Path + "reset"));
    }

    [Fact]
    public void AnyWriteToResetStartsAReset()
    {
        _host.Settle();
        Assert.Equal(Errno.Ok, _host.Write(Path + "reset", "whatever"));
        Assert.Equal("Reset in progress.\n", _host.Read(Path + "reset"));
        _host.Runtime.Advance(2 * Step);
        Assert.Equal("No Reset Timer set.\n", _host.Read(Path + "reset"));
        Assert.Equal("Interrupts enabled.\n", _host.Read(Path + "interrupt"));
    }

    [Fact]
    public void ARequestIsAnsweredAndCounted()
    {
        _host.Settle();
        HostRequest request = _host.Runtime.Drive(QueueMachine.SendAsync(_host.Task, _host.Queue(1, 4), Message));
        Assert.Equal(Errno.Ok, request.Error);
        Assert.True(ClearKeyMessage.TryDecode(request.Reply.Span, out ushort code, out byte[][] operands));
        Assert.Equal((ushort)ClearKeyResult.Ok, code);
        Assert.Equal([1, 2, 3], Assert.Single(operands));
        Assert.Equal(("1\n", "1\n"), (_host.Read(Path + "request_count"), _host.Read(Card + "request_count")));
        Assert.Equal(Errno.Ok, _host.Write(Path + "request_count", "x"));
        Assert.Equal(("0\n", "1\n"), (_host.Read(Path + "request_count"), _host.Read(Card + "request_count")));
        _host.Runtime.Drive(QueueMachine.SendAsync(_host.Task, _host.Queue(1, 0x47), Message));
        Assert.Equal(Errno.Ok, _host.Write(Card + "request_count", "x"));
        Assert.Equal(("0\n", "0\n"), (_host.Read(Card + "request_count"), _host.Read(Card + "01.0047/request_count")));
    }

    [Fact]
    public void ARequestBeforeTheQueueIsReadyIsAnsweredOnceItIs()
    {
        HostRequest request = _host.Runtime.Drive(QueueMachine.SendAsync(_host.Task, _host.Queue(1, 4), Message));
        Assert.Equal(Errno.Ok, request.Error);
    }

    [Fact]
    public void RequestsBeyondTheDepthWaitAndAreShown()
    {
        _host.Settle();
        _host.Hardware.RequestTime = TimeSpan.FromMilliseconds(10);
        List<Errno> answers = Send(10);
        Assert.Equal(("2\n", "8\n"), (_host.Read(Path + "requestq_count"), _host.Read(Path + "pendingq_count")));
        Assert.Equal(("2\n", "8\n"), (_host.Read(Card + "requestq_count"), _host.Read(Card + "pendingq_count")));
        Assert.Equal("Reset Timer armed.\n", _host.Read(Path + "reset"));
        Assert.Empty(answers);
        _host.Runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(Enumerable.Repeat(Errno.Ok, 10), answers);
        Assert.Equal("10\n", _host.Read(Path + "request_count"));
        Assert.Equal("No Reset Timer set.\n", _host.Read(Path + "reset"));
    }

    [Theory]
    [InlineData("/sys/bus/ap/apmask", "-1", 1)]
    [InlineData("/sys/bus/ap/drivers/cex4queue/unbind", "01.0004", 1)]
    [InlineData(Path + "reset", "1", 1)]
    public void ARequestOfAQueueThatIsTakenAwayEndsWithEagain(string path, string text, long lost)
    {
        _host.Settle();
        _host.Hardware.RequestTime = TimeSpan.FromSeconds(1);
        List<Errno> answers = Send(1);
        Assert.Equal(Errno.Ok, _host.Write(path, text));
        _host.Runtime.Advance(TimeSpan.Zero);
        Assert.Equal([Errno.EAGAIN], answers);
        Assert.Equal(lost, _host.Hardware.LostRequests);
        Assert.Equal("0\n", _host.Read(Path + "pendingq_count"));
        _host.Runtime.Advance(TimeSpan.FromSeconds(5));
        Assert.Single(answers);
    }

    [Fact]
    public void ADeconfiguredQueueFlushesItsRequestsAtTheScan()
    {
        _host.Settle();
        _host.Hardware.RequestTime = TimeSpan.FromSeconds(1);
        List<Errno> answers = Send(1);
        _host.Hardware.SetConfigured(1, isConfigured: false);
        _host.Scan();
        _host.Runtime.Advance(TimeSpan.Zero);
        Assert.Equal([Errno.EAGAIN], answers);
        Assert.Equal(QueueDeviceState.Error, _host.Queue(1, 4).DeviceState);
    }

    [Theory]
    [InlineData("/sys/bus/ap/apmask", "-1")]
    [InlineData(Path + "online", "0")]
    public void AQueueThatIsNotTheHostsOrNotOnlineTakesNoRequest(string path, string text)
    {
        _host.Settle();
        Assert.Equal(Errno.Ok, _host.Write(path, text));
        Assert.Equal(Errno.ENODEV, _host.Runtime.Drive(QueueMachine.SendAsync(_host.Task, _host.Queue(1, 4), Message)).Error);
    }

    [Fact]
    public void AnErrorStateIsHealedByTheNextScan()
    {
        _host.Settle();
        _host.Hardware.SetQueueCode(Apqn.Of(1, 4), ApResponse.StateChangeInProgress);
        Assert.Equal(Errno.Ok, _host.Write(Path + "reset", "1"));
        Assert.Equal(QueueDeviceState.Error, _host.Queue(1, 4).DeviceState);
        _host.Hardware.SetQueueCode(Apqn.Of(1, 4), ApResponse.Normal);
        _host.Scan();
        _host.Runtime.Advance(2 * Step);
        Assert.Equal(QueueDeviceState.Operating, _host.Queue(1, 4).DeviceState);
        Assert.Equal(QueueMachineState.Idle, _host.Queue(1, 4).MachineState);
    }

    private List<Errno> Send(int count)
    {
        List<Errno> answers = [];
        for (int i = 0; i < count; i++)
        {
            _host.Runtime.Spawn($"asker {i}", async task =>
                answers.Add((await QueueMachine.SendAsync(task, _host.Queue(1, 4), Message)).Error));
        }
        _host.Runtime.Advance(TimeSpan.Zero);
        return answers;
    }
}

using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;
using Apvirt.Kernel;

namespace Apvirt.Ap.Tests.Bus;

/// <summary>Who may bind what (ap-bus.md §4), mask writes (§3) and the bindings event.</summary>
public sealed class OwnershipTests
{
    private const string Path = "/sys/bus/ap/";
    private const string Queue = "/sys/devices/ap/card01/01.0004";
    private const string Other = "/sys/devices/ap/card01/01.0047";

    private readonly TestHost _host = new();

    [Fact]
    public void AQueueIsTheHostsIfBothItsBitsAreSet()
    {
        TestHost host = new(new TestSetup
        {
            Options = new() { ScansByTimer = false, ApMaskParameter = "-0-255,+1", AqMaskParameter = "-0-255,+4" },
        });
        Assert.Equal(
            ["cex4queue", "vfio_ap", "vfio_ap", "vfio_ap"],
            new[] { Queue, Other, "/sys/devices/ap/card02/02.0004", "/sys/devices/ap/card02/02.0047" }.Select(host.DriverOf));
        Assert.Equal("cex4card", host.DriverOf("/sys/devices/ap/card02"));
    }

    [Fact]
    public void AMaskWriteMovesQueuesAndThenSendsItsEvent()
    {
        _host.Settle();
        Assert.Equal(Errno.Ok, _host.Write(Path + "apmask", "-1\n"));
        Assert.Equal(("vfio_ap", "vfio_ap"), (_host.DriverOf(Queue), _host.DriverOf(Other)));
        Assert.Equal(
            [
                "unbind@/devices/ap/card01/01.0004 SUBSYSTEM=ap DEVTYPE=ap_queue MODE=cca",
                "bind@/devices/ap/card01/01.0004 SUBSYSTEM=ap DEVTYPE=ap_queue DRIVER=vfio_ap MODE=cca",
                "unbind@/devices/ap/card01/01.0047 SUBSYSTEM=ap DEVTYPE=ap_queue MODE=cca",
                "bind@/devices/ap/card01/01.0047 SUBSYSTEM=ap DEVTYPE=ap_queue DRIVER=vfio_ap MODE=cca",
                "change@/devices/ap SUBSYSTEM=ap APMASK=0xbfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            ],
            _host.EventTexts);
        _host.Events.Clear();
        Assert.Equal(Errno.Ok, _host.Write(Path + "apmask", "+1"));
        Assert.Equal("cex4queue", _host.DriverOf(Queue));
        Assert.Equal(["probe 01.0004", "probe 01.0047"], _host.VfioAp.Calls.Where(c => c.StartsWith("probe", StringComparison.Ordinal)));
        Assert.Equal(Errno.Ok, _host.Write(Path + "aqmask", "-4"));
        Assert.Equal(
            "change@/devices/ap SUBSYSTEM=ap AQMASK=0xf7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            _host.EventTexts.Last());
        Assert.Equal(("vfio_ap", "cex4queue"), (_host.DriverOf(Queue), _host.DriverOf(Other)));
    }

    [Theory]
    [InlineData("+0-255")]
    [InlineData("0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff")]
    public void WritingTheSameMaskDoesNothingAtAll(string text)
    {
        _host.Settle();
        Assert.Equal(Errno.Ok, _host.Write(Path + "drivers/cex4queue/unbind", "01.0004"));
        _host.Events.Clear();
        _host.VfioAp.Calls.Clear();
        Assert.Equal(Errno.Ok, _host.Write(Path + "apmask", text));
        Assert.Empty(_host.Events);
        Assert.Empty(_host.VfioAp.Calls);
        Assert.Equal("none", _host.DriverOf(Queue));
    }

    [Fact]
    public void BitsThatBecomeSetAreCheckedAgainstTheOtherMaskAsItIs()
    {
        Assert.Equal(Errno.Ok, _host.Write(Path + "apmask", "-1"));
        Assert.Equal(Errno.Ok, _host.Write(Path + "aqmask", "-4"));
        _host.VfioAp.Assigned = (ApMask.Of(1), ApMask.Of(4));
        _host.VfioAp.Calls.Clear();
        // Domain 4 is not the host's, so adapter 1 alone takes nothing from the mdev.
        Assert.Equal(Errno.Ok, _host.Write(Path + "apmask", "+1"));
        Assert.Equal("in use 1 x 0 1 2", _host.VfioAp.Calls[0]);
        _host.Events.Clear();
        _host.VfioAp.Calls.Clear();
        Assert.Equal(Errno.EBUSY, _host.Write(Path + "aqmask", "+4"));
        Assert.Equal(["in use 0 1 2 x 4"], _host.VfioAp.Calls);
        Assert.Empty(_host.Events);
        Assert.Equal("0xf7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\n", _host.Read(Path + "aqmask"));
        Assert.Equal("vfio_ap", _host.DriverOf(Queue));
    }

    [Fact]
    public void BitsThatAreClearedAreNeverChecked()
    {
        _host.VfioAp.Assigned = (ApMask.All, ApMask.All);
        Assert.Equal(Errno.Ok, _host.Write(Path + "apmask", "-2"));
        Assert.DoesNotContain(_host.VfioAp.Calls, call => call.StartsWith("in use", StringComparison.Ordinal));
    }

    [Fact]
    public void BadTextChangesNothing()
    {
        _host.Settle();
        Assert.Equal(Errno.EINVAL, _host.Write(Path + "apmask", "-1,x"));
        Assert.Empty(_host.Events);
        Assert.Equal("cex4queue", _host.DriverOf(Queue));
    }

    [Fact]
    public void WithoutVfioApATakenQueueStaysUnboundUntilItIsLoaded()
    {
        TestHost host = new(new TestSetup { HasVfioAp = false });
        Assert.Equal(Errno.Ok, host.Write(Path + "apmask", "-1"));
        Assert.Equal("none", host.DriverOf(Queue));
        Assert.Equal("2/4\n", host.Read(Path + "bindings"));
        host.Runtime.Drive(host.Bus.RegisterDriverAsync(host.Task, host.VfioAp));
        Assert.Equal("vfio_ap", host.DriverOf(Queue));
        Assert.Equal("4/4 (complete)\n", host.Read(Path + "bindings"));
    }

    [Theory]
    [InlineData("vfio_ap", "01.0004", Errno.ENODEV)]
    [InlineData("cex4card", "01.0004", Errno.ENODEV)]
    [InlineData("cex4queue", "card01", Errno.ENODEV)]
    [InlineData("cex4queue", "02.0004", Errno.EBUSY)]
    [InlineData("cex4queue", "01.0004", Errno.Ok)]
    [InlineData("cex4queue", "01.0047", Errno.ENODEV)]
    [InlineData("vfio_ap", "01.0047", Errno.Ok)]
    public void BindingByHandKeepsTheRules(string driver, string device, Errno expected)
    {
        Assert.Equal(Errno.Ok, _host.Write(Path + "aqmask", "-71"));
        Assert.Equal(Errno.Ok, _host.Write(Path + "drivers/cex4queue/unbind", "01.0004"));
        Assert.Equal(Errno.Ok, _host.Write(Path + "drivers/vfio_ap/unbind", "01.0047"));
        Assert.Equal(Errno.Ok, _host.Write(Path + "drivers/cex4card/unbind", "card01"));
        Assert.Equal(expected, _host.Write($"{Path}drivers/{driver}/bind", device));
        Assert.Equal(expected == Errno.Ok ? driver : device == "02.0004" ? "cex4queue" : "none",
            _host.DriverOf("/sys/bus/ap/devices/" + device));
    }

    [Fact]
    public void AQueueUnboundByHandStaysSoOverAScanAndComesBackByAProbe()
    {
        Assert.Equal(Errno.Ok, _host.Write(Path + "drivers/cex4queue/unbind", "01.0004"));
        Assert.Equal(Errno.ENODEV, _host.Write(Path + "drivers/cex4queue/unbind", "01.0004"));
        _host.Scan();
        Assert.Equal("none", _host.DriverOf(Queue));
        Assert.Equal("3/4\n", _host.Read(Path + "bindings"));
        Assert.Equal(Errno.Ok, _host.Write(Path + "drivers_probe", "01.0004"));
        Assert.Equal("cex4queue", _host.DriverOf(Queue));
    }

    [Fact]
    public void AQueueUnboundByHandComesBackWhenItLeavesTheConfigurationAndReturns()
    {
        Assert.Equal(Errno.Ok, _host.Write(Path + "drivers/cex4queue/unbind", "01.0004"));
        _host.Configure(ApMask.Of(2), TestHost.Domains);
        _host.Configure(TestHost.Adapters, TestHost.Domains);
        Assert.Equal("cex4queue", _host.DriverOf(Queue));
    }

    [Fact]
    public void AnyMaskChangeBindsAnUnboundQueueOfTheDefaultPoolOnly()
    {
        Assert.Equal(Errno.Ok, _host.Write(Path + "aqmask", "-71"));
        Assert.Equal(Errno.Ok, _host.Write(Path + "drivers/cex4queue/unbind", "01.0004"));
        Assert.Equal(Errno.Ok, _host.Write(Path + "drivers/vfio_ap/unbind", "01.0047"));
        Assert.Equal(Errno.Ok, _host.Write(Path + "apmask", "-200"));
        Assert.Equal(("cex4queue", "none"), (_host.DriverOf(Queue), _host.DriverOf(Other)));
    }

    [Fact]
    public void TakingADriverOffAQueueResetsItOnce()
    {
        _host.Settle();
        _host.Hardware.ClearResetCounters();
        Assert.Equal(Errno.Ok, _host.Write(Path + "drivers/cex4queue/unbind", "01.0004"));
        (Apqn apqn, ResetCounts counts) = Assert.Single(_host.Hardware.ResetCounts());
        Assert.Equal((Apqn.Of(1, 4), 1, 0), (apqn, counts.Bus, counts.Driver));
    }

    [Fact]
    public void TheBindingsEventAfterAMaskWriteComesAtTheEndOfTheNextScan()
    {
        _host.Settle();
        Assert.Equal(Errno.Ok, _host.Write(Path + "apmask", "-1"));
        Assert.DoesNotContain(_host.EventTexts, IsComplete);
        Assert.Equal("4/4 (complete)\n", _host.Read(Path + "bindings"));
        _host.Scan();
        Assert.Equal("change@/devices/ap SUBSYSTEM=ap BINDINGS=complete COMPLETECOUNT=2", _host.EventTexts.Last());
        _host.Events.Clear();
        _host.Scan();
        Assert.Empty(_host.Events);
    }

    [Fact]
    public void UnloadingADriverLeavesItsQueuesUnbound()
    {
        Assert.Equal(Errno.Ok, _host.Write(Path + "apmask", "-1"));
        Assert.True(_host.Runtime.Drive(_host.Bus.UnregisterDriverAsync(_host.Task, _host.VfioAp)));
        Assert.Equal(("none", "none"), (_host.DriverOf(Queue), _host.DriverOf(Other)));
        Assert.False(_host.Exists(Path + "drivers/vfio_ap"));
    }

    private static bool IsComplete(string text) => text.Contains("BINDINGS=complete", StringComparison.Ordinal);
}

using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Ap.Tests.Bus;

/// <summary>The bus scan (ap-bus.md §5), typing (§2) and its uevents (§8).</summary>
public sealed class ScanTests
{
    private const string Queue = "/sys/devices/ap/card01/01.0004";
    private const string AllBound = "change@/devices/ap SUBSYSTEM=ap BINDINGS=complete COMPLETECOUNT=";

    [Fact]
    public void BootSendsItsEventsInOrder()
    {
        TestHost host = new(new TestSetup { HasVfioAp = false });
        const string Card = "SUBSYSTEM=ap DEVTYPE=ap_card";
        const string CardKeys = "DEV_TYPE=000E MODALIAS=ap:t0E MODE=cca";
        const string Ep11Keys = "DEV_TYPE=000D MODALIAS=ap:t0D MODE=ep11";
        Assert.Equal(
            [
                $"add@/devices/ap/card01 {Card} {CardKeys}",
                "add@/devices/ap/card01/01.0004 SUBSYSTEM=ap DEVTYPE=ap_queue MODE=cca",
                "add@/devices/ap/card01/01.0047 SUBSYSTEM=ap DEVTYPE=ap_queue MODE=cca",
                $"add@/devices/ap/card02 {Card} {Ep11Keys}",
                "add@/devices/ap/card02/02.0004 SUBSYSTEM=ap DEVTYPE=ap_queue MODE=ep11",
                "add@/devices/ap/card02/02.0047 SUBSYSTEM=ap DEVTYPE=ap_queue MODE=ep11",
                "change@/devices/ap SUBSYSTEM=ap INITSCAN=done",
                $"bind@/devices/ap/card01 {Card} DRIVER=cex4card {CardKeys}",
                $"bind@/devices/ap/card02 {Card} DRIVER=cex4card {Ep11Keys}",
                "bind@/devices/ap/card01/01.0004 SUBSYSTEM=ap DEVTYPE=ap_queue DRIVER=cex4queue MODE=cca",
                "bind@/devices/ap/card01/01.0047 SUBSYSTEM=ap DEVTYPE=ap_queue DRIVER=cex4queue MODE=cca",
                "bind@/devices/ap/card02/02.0004 SUBSYSTEM=ap DEVTYPE=ap_queue DRIVER=cex4queue MODE=ep11",
                "bind@/devices/ap/card02/02.0047 SUBSYSTEM=ap DEVTYPE=ap_queue DRIVER=cex4queue MODE=ep11",
                AllBound + "1",
            ],
            host.EventTexts);
    }

    [Fact]
    public void DriversAreToldBeforeDevicesGoAndAfterDevicesCame()
    {
        TestHost host = new(new TestSetup { Options = new() { ScansByTimer = false, ApMaskParameter = "0x0" } });
        host.VfioAp.Calls.Clear();
        host.Configure(ApMask.Of(2, 3), TestHost.Domains);
        Assert.Equal(
            [
                "changed 1 2 x 4 71 -> 2 3 x 4 71",
                "remove 01.0004",
                "remove 01.0047",
                "probe 03.0004",
                "probe 03.0047",
                "completed 1 2 x 4 71 -> 2 3 x 4 71",
            ],
            host.VfioAp.Calls);
    }

    [Fact]
    public void AScanWithoutAChangeTellsNobody()
    {
        TestHost host = new();
        host.Settle();
        host.VfioAp.Calls.Clear();
        host.Scan();
        Assert.Empty(host.VfioAp.Calls);
        Assert.Empty(host.Events);
        Assert.Equal(2, host.Bus.ScanCount);
    }

    [Fact]
    public void QueuesGoBeforeTheirCardAndComeAfterIt()
    {
        TestHost host = new();
        host.Settle();
        host.Configure(ApMask.Of(2, 3), TestHost.Domains);
        Assert.Equal(
            [
                "unbind /devices/ap/card01/01.0004", "remove /devices/ap/card01/01.0004",
                "unbind /devices/ap/card01/01.0047", "remove /devices/ap/card01/01.0047",
                "unbind /devices/ap/card01", "remove /devices/ap/card01",
                "add /devices/ap/card03", "bind /devices/ap/card03",
                "add /devices/ap/card03/03.0004", "bind /devices/ap/card03/03.0004",
                "add /devices/ap/card03/03.0047", "bind /devices/ap/card03/03.0047",
                "change /devices/ap",
            ],
            host.Events.Select(e => $"{e.Action} {e.DevPath}"));
        Assert.Equal(AllBound + "2", host.EventTexts.Last());
        Assert.False(host.Exists("/sys/bus/ap/devices/card01"));
        Assert.Null(host.Bus.FindQueue(Apqn.Of(1, 4)));
    }

    [Fact]
    public void ADomainThatGoesTakesItsQueuesAndLeavesTheCards()
    {
        TestHost host = new();
        host.Configure(TestHost.Adapters, ApMask.Of(4, 9));
        Assert.Equal(["01.0004", "01.0009"], host.Bus.Cards()[0].Queues().Select(q => q.Name));
        Assert.Equal("4/4 (complete)\n", host.Read("/sys/bus/ap/bindings"));
        host.Configure(TestHost.Adapters, ApMask.None);
        Assert.Equal("0/0 (complete)\n", host.Read("/sys/bus/ap/bindings"));
        Assert.Empty(host.Bus.Cards());
    }

    [Fact]
    public void AQueueShowsOneTransitionAScan()
    {
        TestHost host = new();
        host.Settle();
        host.Hardware.SetQueueCode(Apqn.Of(1, 0x47), ApResponse.Deconfigured);
        host.Hardware.SetQueueCode(Apqn.Of(1, 4), ApResponse.Deconfigured);
        host.Scan();
        Assert.Equal(("0\n", "0\n"), Flags(host));
        host.Hardware.SetQueueCode(Apqn.Of(1, 4), ApResponse.Checkstopped);
        host.Events.Clear();
        host.Scan();
        Assert.Equal(("0\n", "1\n"), Flags(host));
        Assert.DoesNotContain(host.EventTexts, text => text.Contains("01.0004", StringComparison.Ordinal));
        host.Scan();
        Assert.Equal(("1\n", "1\n"), Flags(host));
        Assert.Contains(host.EventTexts, text => text.Contains("01.0004 SUBSYSTEM=ap CONFIG=1", StringComparison.Ordinal));
        host.Hardware.SetQueueCode(Apqn.Of(1, 4), ApResponse.Normal);
        host.Scan();
        Assert.Equal(("1\n", "0\n"), Flags(host));
    }

    [Fact]
    public void ADeconfiguredCardIsFoundWithItsQueues()
    {
        TestHost host = new(new TestSetup { Prepare = hardware => hardware.SetConfigured(1, isConfigured: false) });
        Assert.Equal("0\n", host.Read("/sys/devices/ap/card01/config"));
        Assert.Equal(("0\n", "0\n"), Flags(host));
        Assert.Equal("cex4queue", host.DriverOf(Queue));
        host.Settle();
        host.Hardware.SetConfigured(1, isConfigured: true);
        host.Scan();
        Assert.Equal(["/devices/ap/card01", "/devices/ap/card01/01.0004", "/devices/ap/card01/01.0047"], host.Events.Select(e => e.DevPath));
        Assert.All(host.EventTexts, text => Assert.Contains("CONFIG=1", text, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(9, true, null, null)]
    [InlineData(10, true, "10\n", "10\n")]
    [InlineData(14, false, "14\n", "14\n")]
    [InlineData(15, true, "14\n", "15\n")]
    [InlineData(15, false, null, null)]
    public void TheTypeOfACardIsOneTheDriversKnow(int type, bool hasQact, string? hwType, string? rawType)
    {
        TestHost host = new(new TestSetup
        {
            Features = ApFeatures.Apxa | (hasQact ? ApFeatures.Qact : ApFeatures.None),
            Prepare = hardware => hardware.AddAdapter(1, new AdapterType(type, AdapterType.CcaFunctions)),
        });
        Assert.Equal(hwType is not null, host.Exists("/sys/devices/ap/card01"));
        if (hwType is null)
            return;
        Assert.Equal(hwType, host.Read("/sys/devices/ap/card01/hwtype"));
        Assert.Equal(rawType, host.Read("/sys/devices/ap/card01/raw_hwtype"));
    }

    [Fact]
    public void ACardWithoutAKnownModeStaysUnbound()
    {
        TestHost host = new(new TestSetup { Prepare = hardware => hardware.AddAdapter(1, new AdapterType(14, 0x02800000)) });
        Assert.Equal("none", host.DriverOf("/sys/devices/ap/card01"));
        Assert.False(host.Exists("/sys/devices/ap/card01/type"));
    }

    [Fact]
    public void ACardWhoseTypeChangesIsMadeAnew()
    {
        TestHost host = new();
        host.Settle();
        host.Hardware.AddAdapter(1, new AdapterType(14, AdapterType.AcceleratorFunctions));
        host.Scan();
        Assert.Equal("CEX8A\n", host.Read("/sys/devices/ap/card01/type"));
        Assert.Contains("remove@/devices/ap/card01 SUBSYSTEM=ap DEVTYPE=ap_card DEV_TYPE=000E MODALIAS=ap:t0E MODE=cca", host.EventTexts);
    }

    [Fact]
    public void WithoutAutoprobeNewDevicesStayUnboundAndABindingsEventWaits()
    {
        TestHost host = new();
        host.Settle();
        host.Write("/sys/bus/ap/drivers_autoprobe", "0");
        host.Configure(ApMask.Of(1, 2, 3), ApMask.Of(4));
        Assert.Equal("none", host.DriverOf("/sys/devices/ap/card03/03.0004"));
        Assert.Equal("2/3\n", host.Read("/sys/bus/ap/bindings"));
        Assert.DoesNotContain(host.EventTexts, text => text.StartsWith(AllBound, StringComparison.Ordinal));
        host.Write("/sys/bus/ap/drivers_probe", "03.0004");
        Assert.Equal("3/3 (complete)\n", host.Read("/sys/bus/ap/bindings"));
        host.Scan();
        Assert.Equal(AllBound + "2", host.EventTexts.Last());
    }

    [Fact]
    public void ASecondCallerSharesTheRunningScan()
    {
        TestHost host = new();
        host.VfioAp.Gate = new Completion(host.Runtime, "gate");
        host.Hardware.Configure(TestHost.Adapters, ApMask.Of(4), ApMask.None);
        SpawnedTask first = host.Runtime.Spawn("first", task => host.Bus.ScanAsync(task));
        SpawnedTask second = host.Runtime.Spawn("second", task => host.Bus.ScanAsync(task));
        host.Runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.False(first.IsCompleted || second.IsCompleted);
        host.VfioAp.Gate.CompleteAll();
        host.Runtime.Advance(TimeSpan.Zero);
        Assert.True(first.IsCompleted && second.IsCompleted);
        Assert.Equal(2, host.Bus.ScanCount);
    }

    private static (string Config, string Checkstop) Flags(TestHost host) => (host.Read(Queue + "/config"), host.Read(Queue + "/chkstop"));
}

using Apvirt.Devices.Events;
using Apvirt.Kernel;

namespace Apvirt.Devices.Tests.Events;

/// <summary>The uevent stream and the <c>uevent</c> file (sysfs.md §0, ap-bus.md §8).</summary>
public sealed class UeventTests
{
    private const string File = "/sys/devices/testroot/dev0/uevent";

    private readonly TestMachine _machine = new();

    [Fact]
    public void ADeviceComesAndGoesInOrder()
    {
        TestDriver driver = _machine.AddDriver("drv");
        TestDevice device = _machine.AddDevice("dev0");
        _machine.Runtime.Drive(_machine.Bus.UnbindAsync(_machine.Task, driver, device));
        _machine.Runtime.Drive(_machine.Bus.BindAsync(_machine.Task, driver, device));
        _machine.Remove(device);
        Assert.Equal(["add", "bind", "unbind", "bind", "unbind", "remove"], _machine.Events.Select(e => e.Action));
        Assert.All(_machine.Events, e => Assert.Equal(("/devices/testroot/dev0", "test"), (e.DevPath, e.Subsystem)));
        Assert.Equal(Enumerable.Range(1, 6).Select(i => (long)i), _machine.Events.Select(e => e.Sequence));
    }

    [Fact]
    public void AddIsSentBeforeTheProbeAndBindAfterIt()
    {
        _machine.AddDriver("drv");
        List<(string Action, bool DeviceFile, bool DriverFile)> seen = [];
        using IDisposable listening = _machine.Model.Uevents.Listen(e => seen.Add(
            (e.Action, _machine.Exists("/sys/devices/testroot/dev0/value"), _machine.Exists("/sys/devices/testroot/dev0/bound_only"))));
        _machine.AddDevice("dev0");
        Assert.Equal([("add", true, false), ("bind", true, true)], seen);
    }

    [Fact]
    public void DriverIsNamedOnlyWhileBound()
    {
        _machine.AddDriver("drv");
        _machine.Remove(_machine.AddDevice("dev0"));
        Assert.Equal(
            [
                "add@/devices/testroot/dev0 SUBSYSTEM=test DEVTYPE=test_device KIND=good",
                "bind@/devices/testroot/dev0 SUBSYSTEM=test DEVTYPE=test_device DRIVER=drv KIND=good",
                "unbind@/devices/testroot/dev0 SUBSYSTEM=test DEVTYPE=test_device KIND=good",
                "remove@/devices/testroot/dev0 SUBSYSTEM=test DEVTYPE=test_device KIND=good",
            ],
            _machine.Events.Select(e => e.ToString()));
    }

    [Fact]
    public void TheFileShowsOneVariableALineDriverBeforeTheBusKeys()
    {
        _machine.AddDevice("dev0");
        Assert.Equal("DEVTYPE=test_device\nKIND=good\n", _machine.Read(File));
        _machine.AddDriver("drv");
        Assert.Equal("DEVTYPE=test_device\nDRIVER=drv\nKIND=good\n", _machine.Read(File));
    }

    [Theory]
    [InlineData("add")]
    [InlineData("change")]
    [InlineData("remove")]
    [InlineData("move")]
    [InlineData("online")]
    [InlineData("offline")]
    [InlineData("bind")]
    [InlineData("unbind")]
    public void WritingAnActionSendsASyntheticEvent(string action)
    {
        _machine.AddDevice("dev0");
        _machine.Events.Clear();
        Assert.Equal(Errno.Ok, _machine.Write(File, action));
        Assert.Equal(Errno.Ok, _machine.Write(File, action + "\n"));
        Assert.Equal(Errno.Ok, _machine.Write(File, action + " 62177883-f1bb-47f0-914d-32a22e3a8804 COLOUR=blue"));
        Assert.Equal([action, action, action], _machine.Events.Select(e => e.Action));
        Assert.All(_machine.Events, e => Assert.Contains(e.Variables, v => v is { Key: "DEVTYPE", Value: "test_device" }));
        Assert.Contains(_machine.Events[2].Variables, v => v.Value == "blue");
    }

    [Theory]
    [InlineData("bogus")]
    [InlineData("ADD")]
    [InlineData(" add")]
    [InlineData("addx")]
    [InlineData("\n")]
    [InlineData("add notauuid")]
    public void AnythingElseIsRefused(string text)
    {
        _machine.AddDevice("dev0");
        _machine.Events.Clear();
        Assert.Equal(Errno.EINVAL, _machine.Write(File, text));
        Assert.Empty(_machine.Events);
    }

    [Fact]
    public void ListeningEndsWhenItIsDisposed()
    {
        List<Uevent> seen = [];
        IDisposable listening = _machine.Model.Uevents.Listen(seen.Add);
        _machine.AddDevice("dev0");
        listening.Dispose();
        _machine.AddDevice("dev1");
        Assert.Single(seen);
        Assert.Equal(2, _machine.Model.Uevents.Sequence);
    }
}

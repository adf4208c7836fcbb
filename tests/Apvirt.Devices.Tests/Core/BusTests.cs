using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;

namespace Apvirt.Devices.Tests.Core;

/// <summary>Bus and driver directories, and the bind/unbind errno table of sysfs.md §0.</summary>
public sealed class BusTests
{
    private const string Drivers = "/sys/bus/test/drivers";

    private readonly TestMachine _machine = new();

    [Theory]
    [InlineData("drivers_autoprobe", SysfsMode.ReadWrite)]
    [InlineData("drivers_probe", SysfsMode.WriteOnly)]
    [InlineData("uevent", SysfsMode.WriteOnly)]
    public void EveryBusHasItsFiles(string name, SysfsMode mode) =>
        Assert.Equal(mode, _machine.Find("/sys/bus/test/" + name).Attribute!.Mode);

    [Fact]
    public void EveryDriverHasItsFilesAndOneLinkPerBoundDevice()
    {
        _machine.AddDevice("dev0");
        _machine.AddDriver("drv");
        foreach (string name in (string[])["bind", "unbind", "uevent"])
            Assert.Equal(SysfsMode.WriteOnly, _machine.Find($"{Drivers}/drv/{name}").Attribute!.Mode);
        Assert.Equal("../../../../devices/testroot/dev0", _machine.LinkText(Drivers + "/drv", "dev0"));
        Assert.Equal("../../../bus/test/drivers/drv", _machine.LinkText("/sys/devices/testroot/dev0", "driver"));
        Assert.Equal(Errno.Ok, _machine.Write(Drivers + "/drv/unbind", "dev0"));
        Assert.False(_machine.Exists(Drivers + "/drv/dev0"));
        Assert.False(_machine.Exists("/sys/devices/testroot/dev0/driver"));
    }

    [Fact]
    public void ADriverThatSuppressesBindHasNeitherFile()
    {
        _machine.AddDriver("drv", suppressesBind: true);
        Assert.Equal(Errno.ENOENT, _machine.Write(Drivers + "/drv/bind", "dev0"));
        Assert.Equal(Errno.ENOENT, _machine.Write(Drivers + "/drv/unbind", "dev0"));
        Assert.Equal(Errno.Ok, _machine.Write(Drivers + "/drv/uevent", "add"));
    }

    [Theory]
    [InlineData("bind", "nosuch", Errno.ENODEV)]
    [InlineData("bind", "bad0", Errno.ENODEV)]
    [InlineData("bind", "bound0", Errno.EBUSY)]
    [InlineData("bind", "bound0\n", Errno.EBUSY)]
    [InlineData("bind", "free0", Errno.Ok)]
    [InlineData("bind", "free0\n", Errno.Ok)]
    [InlineData("bind", "free0\n\n", Errno.ENODEV)]
    [InlineData("bind", " free0", Errno.ENODEV)]
    [InlineData("bind", "free0 ", Errno.ENODEV)]
    [InlineData("bind", "Free0", Errno.ENODEV)]
    [InlineData("bind", "free", Errno.ENODEV)]
    [InlineData("bind", "\n", Errno.ENODEV)]
    [InlineData("bind", "", Errno.Ok)]
    [InlineData("unbind", "nosuch", Errno.ENODEV)]
    [InlineData("unbind", "bad0", Errno.ENODEV)]
    [InlineData("unbind", "free0", Errno.ENODEV)]
    [InlineData("unbind", "other0", Errno.ENODEV)]
    [InlineData("unbind", "bound0", Errno.Ok)]
    [InlineData("unbind", "bound0\n", Errno.Ok)]
    [InlineData("unbind", "bound0\n\n", Errno.ENODEV)]
    public void BindAndUnbindAnswerAsTheTableSays(string file, string text, Errno expected)
    {
        _machine.AddDriver("drv");
        _machine.AddDriver("other", kind: "other");
        _machine.AddDevice("bound0");
        _machine.AddDevice("other0", kind: "other");
        _machine.AddDevice("bad0", kind: "bad");
        Device free = _machine.AddDevice("free0");
        Assert.Equal(Errno.Ok, _machine.Write(Drivers + "/drv/unbind", "free0"));
        Assert.Null(free.Driver);
        Assert.Equal(expected, _machine.Write($"{Drivers}/drv/{file}", text));
    }

    [Theory]
    [InlineData(Errno.ENOMEM)]
    [InlineData(Errno.ENODEV)]
    public void AProbeErrorIsPassedThroughAndLeavesTheDeviceUnbound(Errno error)
    {
        TestDriver driver = _machine.AddDriver("drv");
        driver.ProbeAnswer = error;
        Device device = _machine.AddDevice("dev0");
        Assert.Null(device.Driver);
        Assert.Equal(error, _machine.Write(Drivers + "/drv/bind", "dev0"));
        Assert.Null(device.Driver);
        Assert.False(_machine.Exists(Drivers + "/drv/dev0"));
        Assert.DoesNotContain(_machine.Events, e => e.Action is "bind" or "unbind");
        driver.ProbeAnswer = Errno.Ok;
        Assert.Equal(Errno.Ok, _machine.Write(Drivers + "/drv/bind", "dev0"));
        Assert.Same(driver, device.Driver);
    }

    [Theory]
    [InlineData("0", "0\n", false)]
    [InlineData("0abc", "0\n", false)]
    [InlineData("00\n", "0\n", false)]
    [InlineData("1", "1\n", true)]
    [InlineData("x", "1\n", true)]
    [InlineData("n\n", "1\n", true)]
    [InlineData("\n", "1\n", true)]
    public void AutoProbeIsSwitchedByTheFirstCharacter(string text, string shown, bool isBound)
    {
        Assert.Equal("1\n", _machine.Read("/sys/bus/test/drivers_autoprobe"));
        _machine.AddDriver("drv");
        Assert.Equal(Errno.Ok, _machine.Write("/sys/bus/test/drivers_autoprobe", text));
        Assert.Equal(shown, _machine.Read("/sys/bus/test/drivers_autoprobe"));
        Assert.Equal(isBound, _machine.AddDevice("dev0").Driver is not null);
    }

    [Fact]
    public void ProbingOffersAnUnboundDeviceToAllDrivers()
    {
        Assert.Equal(Errno.Ok, _machine.Write("/sys/bus/test/drivers_autoprobe", "0"));
        _machine.AddDriver("other", kind: "other");
        TestDriver driver = _machine.AddDriver("drv");
        Device device = _machine.AddDevice("dev0");
        Device nobodys = _machine.AddDevice("dev1", kind: "bad");
        Assert.Null(device.Driver);
        Assert.Equal(Errno.ENODEV, _machine.Write("/sys/bus/test/drivers_probe", "nosuch"));
        Assert.Equal(Errno.Ok, _machine.Write("/sys/bus/test/drivers_probe", "dev0\n"));
        Assert.Same(driver, device.Driver);
        Assert.Equal(Errno.Ok, _machine.Write("/sys/bus/test/drivers_probe", "dev0"));
        Assert.Equal(Errno.Ok, _machine.Write("/sys/bus/test/drivers_probe", "dev1"));
        Assert.Null(nobodys.Driver);
    }

    [Fact]
    public void ADriverThatComesLaterTakesUnboundDevicesAndLeavesThemWhenItGoes()
    {
        Device device = _machine.AddDevice("dev0");
        TestDriver first = _machine.AddDriver("first");
        TestDriver second = _machine.AddDriver("second");
        Assert.Same(first, device.Driver);
        Assert.True(_machine.Runtime.Drive(_machine.Bus.UnregisterDriverAsync(_machine.Task, first)));
        Assert.Null(device.Driver);
        Assert.False(_machine.Exists(Drivers + "/first"));
        Assert.Equal(Errno.Ok, _machine.Write("/sys/bus/test/drivers_probe", "dev0"));
        Assert.Same(second, device.Driver);
    }

    [Fact]
    public void DevicesAreKeptInTheOrderOfTheirRegistration()
    {
        foreach (string name in (string[])["c", "a", "b"])
            _machine.AddDevice(name);
        Assert.Equal(["c", "a", "b"], _machine.Bus.Devices().Select(device => device.Name));
    }
}

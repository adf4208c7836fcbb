using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Tests.Bus;

/// <summary>The files of <c>/sys/bus/ap</c> (sysfs.md §1) and <c>/sys/module</c> (§8).</summary>
public sealed class BusAttributeTests
{
    private const string Path = "/sys/bus/ap/";
    private const string Parameters = "/sys/module/ap/parameters/";
    private const string AllOnes = "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\n";

    [Theory]
    [InlineData("ap_domain", SysfsMode.ReadWrite, "4\n")]
    [InlineData("ap_control_domain_mask", SysfsMode.ReadOnly, "0x0a00000000000000000000000000000000000000000000000000000000000000\n")]
    [InlineData("ap_usage_domain_mask", SysfsMode.ReadOnly, "0x0800000000000000010000000000000000000000000000000000000000000000\n")]
    [InlineData("ap_adapter_mask", SysfsMode.ReadOnly, "0x6000000000000000000000000000000000000000000000000000000000000000\n")]
    [InlineData("ap_interrupts", SysfsMode.ReadOnly, "1\n")]
    [InlineData("config_time", SysfsMode.ReadWrite, "30\n")]
    [InlineData("poll_thread", SysfsMode.ReadWrite, "0\n")]
    [InlineData("poll_timeout", SysfsMode.ReadWrite, "250000\n")]
    [InlineData("ap_max_domain_id", SysfsMode.ReadOnly, "255\n")]
    [InlineData("ap_max_adapter_id", SysfsMode.ReadOnly, "255\n")]
    [InlineData("apmask", SysfsMode.ReadWrite, AllOnes)]
    [InlineData("aqmask", SysfsMode.ReadWrite, AllOnes)]
    [InlineData("scans", SysfsMode.ReadWrite, "1\n")]
    [InlineData("bindings", SysfsMode.ReadOnly, "4/4 (complete)\n")]
    [InlineData("features", SysfsMode.ReadOnly, "APSC APXA QACT RC8A\n")]
    [InlineData("drivers_autoprobe", SysfsMode.ReadWrite, "1\n")]
    public void EveryFileHasItsModeAndText(string name, SysfsMode mode, string text)
    {
        TestHost host = new();
        Assert.Equal(mode, host.ModeOf(Path + name));
        Assert.Equal(text, host.Read(Path + name));
        if (mode == SysfsMode.ReadOnly)
            Assert.Equal(Errno.EACCES, host.Write(Path + name, "1"));
    }

    [Theory]
    [InlineData("ap_control_domain_mask", "not supported\n")]
    [InlineData("ap_usage_domain_mask", "not supported\n")]
    [InlineData("ap_adapter_mask", "not supported\n")]
    [InlineData("features", "-\n")]
    [InlineData("ap_max_domain_id", "15\n")]
    [InlineData("ap_max_adapter_id", "63\n")]
    [InlineData("bindings", "2/2 (complete)\n")]
    public void WithoutQciTheMachineSaysSo(string name, string text) =>
        Assert.Equal(text, new TestHost(new TestSetup { HasQci = false }).Read(Path + name));

    [Theory]
    [InlineData(ApFeatures.None, 255, "", "63\n", "15\n")]
    [InlineData(ApFeatures.Apxa, 84, "APXA\n", "84\n", "84\n")]
    [InlineData(ApFeatures.Apxa, 0, "APXA\n", "63\n", "15\n")]
    [InlineData(ApFeatures.Apsb | ApFeatures.Rc8a | ApFeatures.Apsc, 84, "APSC RC8A APSB\n", "63\n", "15\n")]
    public void FeaturesAndHighestIdsFollowQci(ApFeatures features, int highest, string text, string adapter, string domain)
    {
        TestHost host = new(new TestSetup { Features = features, MaxId = highest });
        Assert.Equal(text, host.Read(Path + "features"));
        Assert.Equal(adapter, host.Read(Path + "ap_max_adapter_id"));
        Assert.Equal(domain, host.Read(Path + "ap_max_domain_id"));
    }

    [Theory]
    [InlineData("71", Errno.Ok, "71\n")]
    [InlineData("0x47\n", Errno.Ok, "71\n")]
    [InlineData("0107", Errno.Ok, "71\n")]
    [InlineData("6", Errno.Ok, "6\n")]
    [InlineData("255", Errno.Ok, "255\n")]
    [InlineData("", Errno.Ok, "4\n")]
    [InlineData("256", Errno.EINVAL, "4\n")]
    [InlineData("-1", Errno.EINVAL, "4\n")]
    [InlineData("x", Errno.EINVAL, "4\n")]
    [InlineData("9", Errno.EINVAL, "4\n")]
    public void TheDefaultDomainMustBeInTheDomainMaskOnly(string text, Errno expected, string after)
    {
        TestHost host = new();
        Assert.Equal(Errno.Ok, host.Write(Path + "aqmask", "-9"));
        Assert.Equal(expected, host.Write(Path + "ap_domain", text));
        Assert.Equal(after, host.Read(Path + "ap_domain"));
        Assert.Equal(after, host.Read(Parameters + "domain"));
    }

    [Theory]
    [InlineData("config_time", "5", Errno.Ok, "5\n")]
    [InlineData("config_time", "120\n", Errno.Ok, "120\n")]
    [InlineData("config_time", " 60abc", Errno.Ok, "60\n")]
    [InlineData("config_time", "4", Errno.EINVAL, "30\n")]
    [InlineData("config_time", "121", Errno.EINVAL, "30\n")]
    [InlineData("config_time", "-5", Errno.EINVAL, "30\n")]
    [InlineData("config_time", "0x20", Errno.EINVAL, "30\n")]
    [InlineData("config_time", "\n", Errno.EINVAL, "30\n")]
    [InlineData("poll_thread", "1", Errno.Ok, "0\n")]
    [InlineData("poll_thread", "on", Errno.Ok, "0\n")]
    [InlineData("poll_thread", "0", Errno.Ok, "0\n")]
    [InlineData("poll_thread", "2", Errno.EINVAL, "0\n")]
    [InlineData("poll_thread", "\n", Errno.EINVAL, "0\n")]
    [InlineData("poll_timeout", "1500000\n", Errno.Ok, "1500000\n")]
    [InlineData("poll_timeout", "0x10", Errno.Ok, "16\n")]
    [InlineData("poll_timeout", "120000000000", Errno.Ok, "120000000000\n")]
    [InlineData("poll_timeout", "120000000001", Errno.EINVAL, "250000\n")]
    [InlineData("poll_timeout", "12x", Errno.EINVAL, "250000\n")]
    [InlineData("poll_timeout", "-1", Errno.EINVAL, "250000\n")]
    [InlineData("poll_timeout", "18446744073709551616", Errno.ERANGE, "250000\n")]
    public void WritesAreCheckedAndShown(string name, string text, Errno expected, string after)
    {
        TestHost host = new();
        Assert.Equal(expected, host.Write(Path + name, text));
        Assert.Equal(after, host.Read(Path + name));
    }

    [Fact]
    public void ThePollThreadCanBeSwitchedWithoutInterruptsOnly()
    {
        TestHost host = new(new TestSetup { Options = new() { ScansByTimer = false, UseInterrupts = false, PollThread = true } });
        Assert.Equal("0\n", host.Read(Path + "ap_interrupts"));
        Assert.Equal("1\n", host.Read(Path + "poll_thread"));
        Assert.Equal(Errno.Ok, host.Write(Path + "poll_thread", "off"));
        Assert.Equal("0\n", host.Read(Path + "poll_thread"));
        Assert.Equal(Errno.Ok, host.Write(Path + "poll_thread", "yes"));
        Assert.Equal("1\n", host.Read(Path + "poll_thread"));
    }

    [Theory]
    [InlineData("1")]
    [InlineData("\n")]
    [InlineData("anything")]
    public void AnyTextInScansForcesAScan(string text)
    {
        TestHost host = new();
        Assert.Equal(Errno.Ok, host.Write(Path + "scans", text));
        Assert.Equal("2\n", host.Read(Path + "scans"));
        Assert.Equal(Errno.Ok, host.Write(Path + "scans", ""));
        Assert.Equal("2\n", host.Read(Path + "scans"));
    }

    [Fact]
    public void BeforeTheFirstScanNoneIsForced()
    {
        TestHost host = new(new TestSetup { IsScanned = false });
        Assert.Equal(Errno.Ok, host.Write(Path + "scans", "1"));
        Assert.Equal("0\n", host.Read(Path + "scans"));
        Assert.Equal("0/0\n", host.Read(Path + "bindings"));
    }

    [Fact]
    public void ConfigTimeIsTheIntervalOfTheScansAndStartsAnew()
    {
        TestHost host = new(new TestSetup { Options = new() });
        host.Runtime.Advance(TimeSpan.FromSeconds(29));
        Assert.Equal("1\n", host.Read(Path + "scans"));
        host.Runtime.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal("2\n", host.Read(Path + "scans"));
        host.Runtime.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal(Errno.Ok, host.Write(Path + "config_time", "60"));
        host.Runtime.Advance(TimeSpan.FromSeconds(59));
        Assert.Equal("2\n", host.Read(Path + "scans"));
        host.Runtime.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal("3\n", host.Read(Path + "scans"));
    }

    [Theory]
    [InlineData("apmask")]
    [InlineData("aqmask")]
    public void ASignalEndsTheWaitForTheMasks(string name)
    {
        TestHost host = new();
        KernelTask holder = host.Runtime.CreateTask("holder");
        Assert.True(host.Bus.PermsMutex.TryLock(holder));
        host.Task.Interrupt();
        Assert.Equal(Errno.EINTR, host.Write(Path + name, "0x0"));
        Assert.Equal(Errno.EINTR, host.TryRead(Path + name, out _));
        host.Bus.PermsMutex.Unlock(holder);
        Assert.Equal(AllOnes, host.Read(Path + name));
    }

    [Theory]
    [InlineData(null, null, AllOnes)]
    [InlineData("0xf0", "0xf0\n", "0xf000000000000000000000000000000000000000000000000000000000000000\n")]
    [InlineData("+0,+255", "+0,+255\n", "0x8000000000000000000000000000000000000000000000000000000000000001\n")]
    [InlineData("bad", "bad\n", "0xbad0000000000000000000000000000000000000000000000000000000000000\n")]
    [InlineData("0xzz", "0xzz\n", "0x0000000000000000000000000000000000000000000000000000000000000000\n")]
    public void BootMasksStartFromZeroAndTheirTextStays(string? parameter, string? shown, string mask)
    {
        TestHost host = new(new TestSetup { Options = new() { ScansByTimer = false, ApMaskParameter = parameter, AqMaskParameter = parameter } });
        Assert.Equal(mask, host.Read(Path + "apmask"));
        Assert.Equal(mask, host.Read(Path + "aqmask"));
        Assert.Equal(Errno.Ok, host.Write(Path + "apmask", "+77"));
        Assert.Equal(shown ?? "(null)\n", host.Read(Parameters + "apmask"));
        Assert.Equal(shown ?? "(null)\n", host.Read(Parameters + "aqmask"));
    }

    [Theory]
    [InlineData("domain", "4\n")]
    [InlineData("poll_thread", "0\n")]
    [InlineData("useirq", "1\n")]
    [InlineData("apmask", "(null)\n")]
    [InlineData("aqmask", "(null)\n")]
    [InlineData("msgpool_min_items", "8\n")]
    public void ModuleParametersHaveMode0440(string name, string text)
    {
        TestHost host = new();
        Assert.Equal(SysfsMode.GroupReadOnly, host.ModeOf(Parameters + name));
        Assert.Equal(text, host.Read(Parameters + name));
        Assert.Equal(Errno.EACCES, host.Write(Parameters + name, "1"));
    }

    [Fact]
    public void TheDefaultDomainIsTheLowestThatWorksAndIsNotPickedAgain()
    {
        TestHost host = new(new TestSetup
        {
            Options = new() { ScansByTimer = false, AqMaskParameter = "-0-255,+71,+90" },
        });
        Assert.Equal("71\n", host.Read(Path + "ap_domain"));
        host.Configure(TestHost.Adapters, ApMask.Of(4));
        Assert.Equal("71\n", host.Read(Path + "ap_domain"));
        TestHost none = new(new TestSetup { Options = new() { ScansByTimer = false, ApMaskParameter = "0x0" } });
        Assert.Equal("-1\n", none.Read(Path + "ap_domain"));
        Assert.Equal("7\n", new TestHost(new TestSetup { Options = new() { ScansByTimer = false, DefaultDomain = 7 } }).Read(Path + "ap_domain"));
    }

    [Fact]
    public void ModulesAreThereWhileLoaded()
    {
        TestHost host = new();
        foreach (string module in (string[])["ap", "zcrypt", "zcrypt_cex4"])
        {
            Assert.Equal("live\n", host.Read($"/sys/module/{module}/initstate"));
            Assert.True(host.Exists($"/sys/module/{module}/refcnt"));
            Assert.True(host.Exists($"/sys/module/{module}/holders"));
        }
        Assert.Equal("../../../../module/zcrypt_cex4", host.LinkText("/sys/bus/ap/drivers/cex4card", "module"));
    }
}

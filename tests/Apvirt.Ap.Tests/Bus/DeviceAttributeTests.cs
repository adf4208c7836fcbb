using Apvirt.Ap.Architecture;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;

namespace Apvirt.Ap.Tests.Bus;

/// <summary>The files of cards (sysfs.md §2) and queues (§3).</summary>
public sealed class DeviceAttributeTests
{
    private const string Cca = "/sys/devices/ap/card01";
    private const string Ep11 = "/sys/devices/ap/card02";
    private const string Accelerator = "/sys/devices/ap/card03";
    private const string CcaQueue = Cca + "/01.0004";
    private const string Ep11Queue = Ep11 + "/02.0047";

    private readonly TestHost _host = new();

    [Theory]
    [InlineData(Cca + "/hwtype", SysfsMode.ReadOnly, "14\n")]
    [InlineData(Cca + "/raw_hwtype", SysfsMode.ReadOnly, "14\n")]
    [InlineData(Cca + "/depth", SysfsMode.ReadOnly, "8\n")]
    [InlineData(Cca + "/ap_functions", SysfsMode.ReadOnly, "0x92800000\n")]
    [InlineData(Cca + "/request_count", SysfsMode.ReadWrite, "0\n")]
    [InlineData(Cca + "/requestq_count", SysfsMode.ReadOnly, "0\n")]
    [InlineData(Cca + "/pendingq_count", SysfsMode.ReadOnly, "0\n")]
    [InlineData(Cca + "/modalias", SysfsMode.ReadOnly, "ap:t0E\n")]
    [InlineData(Cca + "/config", SysfsMode.ReadWrite, "1\n")]
    [InlineData(Cca + "/chkstop", SysfsMode.ReadOnly, "0\n")]
    [InlineData(Cca + "/max_msg_size", SysfsMode.ReadOnly, "12288\n")]
    [InlineData(Cca + "/type", SysfsMode.ReadOnly, "CEX8C\n")]
    [InlineData(Cca + "/online", SysfsMode.ReadWrite, "1\n")]
    [InlineData(Cca + "/load", SysfsMode.ReadOnly, "0\n")]
    [InlineData(Cca + "/serialnr", SysfsMode.ReadOnly, "93AABEET\n")]
    [InlineData(Cca + "/uevent", SysfsMode.ReadWrite, "DEVTYPE=ap_card\nDRIVER=cex4card\nDEV_TYPE=000E\nMODALIAS=ap:t0E\nMODE=cca\n")]
    [InlineData(Ep11 + "/hwtype", SysfsMode.ReadOnly, "13\n")]
    [InlineData(Ep11 + "/ap_functions", SysfsMode.ReadOnly, "0x06800000\n")]
    [InlineData(Ep11 + "/modalias", SysfsMode.ReadOnly, "ap:t0D\n")]
    [InlineData(Ep11 + "/type", SysfsMode.ReadOnly, "CEX7P\n")]
    [InlineData(Ep11 + "/serialnr", SysfsMode.ReadOnly, "\n")]
    [InlineData(Accelerator + "/type", SysfsMode.ReadOnly, "CEX6A\n")]
    [InlineData(Accelerator + "/ap_functions", SysfsMode.ReadOnly, "0x6A800000\n")]
    [InlineData(Accelerator + "/depth", SysfsMode.ReadOnly, "16\n")]
    [InlineData(Accelerator + "/max_msg_size", SysfsMode.ReadOnly, "8192\n")]
    [InlineData(CcaQueue + "/request_count", SysfsMode.ReadWrite, "0\n")]
    [InlineData(CcaQueue + "/requestq_count", SysfsMode.ReadOnly, "0\n")]
    [InlineData(CcaQueue + "/pendingq_count", SysfsMode.ReadOnly, "0\n")]
    [InlineData(CcaQueue + "/reset", SysfsMode.ReadWrite, "No Reset Timer set.\n")]
    [InlineData(CcaQueue + "/interrupt", SysfsMode.ReadOnly, "Interrupts enabled.\n")]
    [InlineData(CcaQueue + "/config", SysfsMode.ReadOnly, "1\n")]
    [InlineData(CcaQueue + "/chkstop", SysfsMode.ReadOnly, "0\n")]
    [InlineData(CcaQueue + "/ap_functions", SysfsMode.ReadOnly, "0x92800000\n")]
    [InlineData(CcaQueue + "/online", SysfsMode.ReadWrite, "1\n")]
    [InlineData(CcaQueue + "/load", SysfsMode.ReadOnly, "0\n")]
    [InlineData(CcaQueue + "/uevent", SysfsMode.ReadWrite, "DEVTYPE=ap_queue\nDRIVER=cex4queue\nMODE=cca\n")]
    [InlineData(Ep11Queue + "/uevent", SysfsMode.ReadWrite, "DEVTYPE=ap_queue\nDRIVER=cex4queue\nMODE=ep11\n")]
    public void EveryFileHasItsModeAndText(string path, SysfsMode mode, string text)
    {
        _host.Configure(ApMask.Of(1, 2, 3), TestHost.Domains);
        _host.Settle();
        Assert.Equal(mode, _host.ModeOf(path));
        Assert.Equal(text, _host.Read(path));
    }

    [Theory]
    [InlineData(Ep11 + "/API_ordinalnr", "^[0-9]*\n$")]
    [InlineData(Ep11 + "/FW_version", "^([0-9]+\\.[0-9]+)?\n$")]
    [InlineData(Ep11 + "/op_modes", OperationModes)]
    [InlineData(Ep11Queue + "/op_modes", OperationModes)]
    [InlineData(CcaQueue + "/mkvps", "^AES NEW: (empty|partial|full|-) .*\nAES CUR: (valid|invalid) 0x[0-9a-f]{16}\nAES OLD: (valid|invalid) 0x[0-9a-f]{16}\n"
        + "APKA NEW: (empty|partial|full|-) .*\nAPKA CUR: (valid|invalid) 0x[0-9a-f]{16}\nAPKA OLD: (valid|invalid) 0x[0-9a-f]{16}\n"
        + "ASYM NEW: (empty|partial|full|-) .*\nASYM CUR: (valid|invalid) 0x[0-9a-f]{32}\nASYM OLD: (valid|invalid) 0x[0-9a-f]{32}\n$")]
    [InlineData(Ep11Queue + "/mkvps", "^WK CUR: (valid 0x[0-9a-f]{64}|invalid -|- -)\nWK NEW: (empty -|(un)?committed 0x[0-9a-f]{64}|- -)\n$")]
    public void FilesOfTheAdapterTypesHaveTheirForm(string path, string pattern)
    {
        Assert.Equal(SysfsMode.ReadOnly, _host.ModeOf(path));
        Assert.Matches(pattern, _host.Read(path));
    }

    private const string OperationModes =
        "^(FIPS2009 ?|BSI2009 ?|FIPS2011 ?|BSI2011 ?|SIGG-IMPORT ?|SIGG ?|BSICC2017 ?|FIPS2021 ?|FIPS2024 ?)*\n$";

    [Theory]
    [InlineData(Cca + "/API_ordinalnr")]
    [InlineData(Cca + "/op_modes")]
    [InlineData(Accelerator + "/serialnr")]
    [InlineData(Accelerator + "/op_modes")]
    [InlineData(Accelerator + "/03.0004/mkvps")]
    [InlineData(Ep11 + "/mkvps")]
    [InlineData(CcaQueue + "/op_modes")]
    [InlineData(CcaQueue + "/status")]
    [InlineData(CcaQueue + "/driver_override")]
    [InlineData(CcaQueue + "/se_bind")]
    [InlineData(CcaQueue + "/se_associate")]
    [InlineData("/sys/bus/ap/bindings_complete_count")]
    [InlineData("/sys/bus/ap/devices/ap")]
    [InlineData("/sys/bus/ap/drivers/cex2acard")]
    public void WhatDoesNotBelongIsAbsent(string path)
    {
        _host.Configure(ApMask.Of(1, 2, 3), TestHost.Domains);
        Assert.False(_host.Exists(path));
    }

    [Fact]
    public void LinksAreRelative()
    {
        Assert.Equal("../../../bus/ap/drivers/cex4card", _host.LinkText(Cca, "driver"));
        Assert.Equal("../../../bus/ap", _host.LinkText(Cca, "subsystem"));
        Assert.Equal("../../../../bus/ap/drivers/cex4queue", _host.LinkText(CcaQueue, "driver"));
        Assert.Equal("../../../devices/ap/card01", _host.LinkText("/sys/bus/ap/devices", "card01"));
        Assert.Equal("../../../devices/ap/card01/01.0004", _host.LinkText("/sys/bus/ap/devices", "01.0004"));
        Assert.Equal("../../../../devices/ap/card01/01.0004", _host.LinkText("/sys/bus/ap/drivers/cex4queue", "01.0004"));
    }

    [Fact]
    public void DriverFilesGoWithTheDriver()
    {
        Assert.Equal(Errno.Ok, _host.Write("/sys/bus/ap/drivers/cex4card/unbind", "card01"));
        foreach (string name in (string[])["type", "online", "load", "serialnr"])
            Assert.False(_host.Exists($"{Cca}/{name}"));
        Assert.Equal(Errno.Ok, _host.Write("/sys/bus/ap/drivers/cex4queue/unbind", "01.0004"));
        foreach (string name in (string[])["online", "load", "mkvps"])
            Assert.False(_host.Exists($"{CcaQueue}/{name}"));
    }

    [Theory]
    [InlineData("2")]
    [InlineData("-1")]
    [InlineData("x")]
    [InlineData("\n")]
    public void SwitchesTakeZeroAndOneOnly(string text)
    {
        Assert.Equal(Errno.EINVAL, _host.Write(Cca + "/config", text));
        Assert.Equal(Errno.EINVAL, _host.Write(Cca + "/online", text));
        Assert.Equal(Errno.EINVAL, _host.Write(CcaQueue + "/online", text));
    }

    [Fact]
    public void ConfiguringACardChangesItAtOnceAndItsQueuesAtTheNextScan()
    {
        _host.Settle();
        Assert.Equal(Errno.Ok, _host.Write(Cca + "/config", "0\n"));
        Assert.Equal(("0\n", "1\n", "0\n"), (_host.Read(Cca + "/config"), _host.Read(CcaQueue + "/config"), _host.Read(Cca + "/online")));
        Assert.Equal(["/devices/ap/card01 CONFIG=0"], Changes());
        Assert.Equal(Errno.ENODEV, _host.Write(Cca + "/online", "1"));
        _host.Scan();
        Assert.Equal(("0\n", "0\n"), (_host.Read(CcaQueue + "/config"), _host.Read(CcaQueue + "/online")));
        Assert.Equal(Errno.ENODEV, _host.Write(CcaQueue + "/online", "1"));
        Assert.Equal(["/devices/ap/card01/01.0004 CONFIG=0", "/devices/ap/card01/01.0047 CONFIG=0"], Changes());
        Assert.Equal(Errno.Ok, _host.Write(Cca + "/config", "1"));
        Assert.Equal("1\n", _host.Read(Cca + "/online"));
        _host.Scan();
        Assert.Equal(("1\n", "1\n"), (_host.Read(CcaQueue + "/config"), _host.Read(CcaQueue + "/online")));
        Assert.Equal(
            ["/devices/ap/card01 CONFIG=1", "/devices/ap/card01/01.0004 CONFIG=1", "/devices/ap/card01/01.0047 CONFIG=1"], Changes());
    }

    [Fact]
    public void ConfiguringToTheSameStateSendsTheEventWithoutAskingTheServiceElement()
    {
        _host.Settle();
        Assert.Equal(Errno.Ok, _host.Write(Cca + "/config", "1"));
        Assert.Equal(0, _host.Firmware.Calls);
        Assert.Equal(["/devices/ap/card01 CONFIG=1"], Changes());
    }

    [Theory]
    [InlineData(Errno.EIO)]
    [InlineData(Errno.EOPNOTSUPP)]
    public void AnErrorOfTheServiceElementIsPassedThrough(Errno error)
    {
        _host.Settle();
        _host.Firmware.Answer = error;
        Assert.Equal(error, _host.Write(Cca + "/config", "0"));
        Assert.Equal("1\n", _host.Read(Cca + "/config"));
        Assert.Empty(_host.Events);
    }

    [Fact]
    public void SwitchingACardSwitchesItsQueuesOfTheDefaultDriver()
    {
        Assert.Equal(Errno.Ok, _host.Write("/sys/bus/ap/aqmask", "-71"));
        _host.Settle();
        Assert.Equal(Errno.Ok, _host.Write(Cca + "/online", "0"));
        Assert.Equal(("0\n", "0\n"), (_host.Read(Cca + "/online"), _host.Read(CcaQueue + "/online")));
        Assert.Equal(["/devices/ap/card01 ONLINE=0", "/devices/ap/card01/01.0004 ONLINE=0"], Changes());
        Assert.Equal(Errno.EINVAL, _host.Write(CcaQueue + "/online", "1"));
        Assert.Equal(Errno.Ok, _host.Write(Cca + "/online", "1"));
        Assert.Equal("1\n", _host.Read(CcaQueue + "/online"));
        Assert.Equal(["/devices/ap/card01 ONLINE=1", "/devices/ap/card01/01.0004 ONLINE=1"], Changes());
    }

    [Fact]
    public void OnlyQueuesWhoseSwitchChangesSendAnEvent()
    {
        Assert.Equal(Errno.Ok, _host.Write(CcaQueue + "/online", "0"));
        _host.Settle();
        Assert.Equal(Errno.Ok, _host.Write(Cca + "/online", "0"));
        Assert.Equal(["/devices/ap/card01 ONLINE=0", "/devices/ap/card01/01.0047 ONLINE=0"], Changes());
    }

    [Fact]
    public void ACheckstoppedAdapterCannotBeSwitchedOn()
    {
        _host.Settle();
        _host.Hardware.SetCheckstopped(1, isCheckstopped: true);
        _host.Scan();
        Assert.Equal(("1\n", "1\n", "1\n"), (_host.Read(Cca + "/chkstop"), _host.Read(CcaQueue + "/chkstop"), _host.Read(Cca + "/config")));
        Assert.Equal(("0\n", "0\n"), (_host.Read(Cca + "/online"), _host.Read(CcaQueue + "/online")));
        Assert.Equal(Errno.ENODEV, _host.Write(Cca + "/online", "1"));
        Assert.Equal(Errno.ENODEV, _host.Write(CcaQueue + "/online", "1"));
        Assert.Empty(_host.Events);
        _host.Hardware.SetCheckstopped(1, isCheckstopped: false);
        _host.Scan();
        Assert.Equal(("0\n", "1\n"), (_host.Read(Cca + "/chkstop"), _host.Read(CcaQueue + "/online")));
    }

    [Fact]
    public void QueueFunctionsAreLiveAndAnErrorOnlyAboveCode05()
    {
        foreach (ApResponse code in (ApResponse[])[ApResponse.Normal, ApResponse.Deconfigured, ApResponse.Checkstopped])
        {
            _host.Hardware.SetQueueCode(Apqn.Of(1, 4), code);
            Assert.Equal("0x92800000\n", _host.Read(CcaQueue + "/ap_functions"));
        }
        _host.Hardware.SetBusy(Apqn.Of(2, 0x47), TimeSpan.FromSeconds(1));
        Assert.Equal("0x06800000\n", _host.Read(Ep11Queue + "/ap_functions"));
        _host.Hardware.SetQueueCode(Apqn.Of(1, 4), ApResponse.StateChangeInProgress);
        Assert.Equal(Errno.EIO, _host.TryRead(CcaQueue + "/ap_functions", out _));
    }

    [Fact]
    public void QueueFunctionsOfAQueueThatJustLeftAreNoError()
    {
        _host.Hardware.Configure(TestHost.Adapters, ApMask.Of(0x47), ApMask.None);
        Assert.Equal(Errno.Ok, _host.TryRead(CcaQueue + "/ap_functions", out _));
    }

    [Fact]
    public void AQueueTakenFromTheDefaultDriverIsUninitiated()
    {
        _host.Settle();
        Assert.Equal(Errno.Ok, _host.Write("/sys/bus/ap/apmask", "-1"));
        Assert.Equal("vfio_ap", _host.DriverOf(CcaQueue));
        Assert.Equal("-\n", _host.Read(CcaQueue + "/request_count"));
        Assert.Equal(("0\n", "0\n"), (_host.Read(CcaQueue + "/requestq_count"), _host.Read(CcaQueue + "/pendingq_count")));
        Assert.Equal("No Reset Timer set.\n", _host.Read(CcaQueue + "/reset"));
        Assert.Equal("Interrupts disabled.\n", _host.Read(CcaQueue + "/interrupt"));
        Assert.False(_host.Exists(CcaQueue + "/online"));
        Assert.Equal(Errno.Ok, _host.Write(CcaQueue + "/reset", "1"));
        Assert.Equal(Errno.Ok, _host.Write("/sys/bus/ap/apmask", "+1"));
        Assert.Equal("0\n", _host.Read(CcaQueue + "/request_count"));
    }

    private List<string> Changes()
    {
        List<string> changes = [.. _host.Events
            .Where(e => e.Action == "change")
            .Select(e => $"{e.DevPath} {string.Join(' ', e.Variables.Where(v => v.Key is "CONFIG" or "ONLINE").Select(v => $"{v.Key}={v.Value}"))}")
            .Where(text => text.Contains('=', StringComparison.Ordinal))];
        _host.Events.Clear();
        return changes;
    }
}

using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Devices.Events;
using Apvirt.Devices.Sysfs;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Host.Tests.Machines;

/// <summary>The files of sysfs.md §1 to §4 and §8 on the example host of clients.md §0: text, mode, errors.</summary>
public sealed class SysfsContractTests
{
    private const string Ones = "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\n";
    private const string FourDomains = "0x0800000000000000010000000000000000000000001000000000000000000001\n";

    private readonly SimulationRuntime _runtime = new();
    private readonly KernelTask _task;
    private readonly VirtualHost _host;
    private readonly List<string> _events = [];

    public SysfsContractTests()
    {
        _task = _runtime.CreateTask("test");
        ApMask domains = ApMask.Of(4, 0x47, 0xab, 0xff);
        _host = _runtime.Drive(VirtualHost.BootAsync(
            _task,
            new MachineSetup
            {
                Configuration = new QciInfo(
                    ApFeatures.Apsc | ApFeatures.Apxa | ApFeatures.Qact | ApFeatures.Rc8a, 255, 255, ApMask.Of(5, 6), domains, domains),
                Adapters = new Dictionary<int, AdapterType>
                {
                    [5] = new(14, AdapterType.CcaFunctions, Serial: "93AABEET"),
                    [6] = new(14, AdapterType.AcceleratorFunctions),
                },
                Bus = new ApBusOptions { ScansByTimer = false },
            },
            model => model.Uevents.Listen((Uevent e) => _events.Add(e.ToString()))));
    }

    private (Errno Error, string Text) Read(string path)
    {
        SysfsText page = new();
        Errno error = _runtime.Drive(_host.Tree.ReadAsync(_task, path, page));
        return (error, page.ToString());
    }

    private Errno Write(string path, string text) => _runtime.Drive(_host.Tree.WriteAsync(_task, path, Encoding.ASCII.GetBytes(text)));

    [Theory]
    [InlineData("/sys/bus/ap/ap_domain", "4\n")]
    [InlineData("/sys/bus/ap/ap_control_domain_mask", FourDomains)]
    [InlineData("/sys/bus/ap/ap_usage_domain_mask", FourDomains)]
    [InlineData("/sys/bus/ap/ap_adapter_mask", "0x0600000000000000000000000000000000000000000000000000000000000000\n")]
    [InlineData("/sys/bus/ap/ap_interrupts", "1\n")]
    [InlineData("/sys/bus/ap/config_time", "30\n")]
    [InlineData("/sys/bus/ap/poll_thread", "0\n")]
    [InlineData("/sys/bus/ap/poll_timeout", "250000\n")]
    [InlineData("/sys/bus/ap/ap_max_domain_id", "255\n")]
    [InlineData("/sys/bus/ap/ap_max_adapter_id", "255\n")]
    [InlineData("/sys/bus/ap/apmask", Ones)]
    [InlineData("/sys/bus/ap/aqmask", Ones)]
    [InlineData("/sys/bus/ap/scans", "1\n")]
    [InlineData("/sys/bus/ap/bindings", "8/8 (complete)\n")]
    [InlineData("/sys/bus/ap/features", "APSC APXA QACT RC8A\n")]
    [InlineData("/sys/bus/ap/drivers_autoprobe", "1\n")]
    [InlineData("/sys/devices/ap/card05/hwtype", "14\n")]
    [InlineData("/sys/devices/ap/card05/raw_hwtype", "14\n")]
    [InlineData("/sys/devices/ap/card05/depth", "8\n")]
    [InlineData("/sys/devices/ap/card05/ap_functions", "0x92800000\n")]
    [InlineData("/sys/devices/ap/card06/ap_functions", "0x6A800000\n")]
    [InlineData("/sys/devices/ap/card05/request_count", "0\n")]
    [InlineData("/sys/devices/ap/card05/requestq_count", "0\n")]
    [InlineData("/sys/devices/ap/card05/pendingq_count", "0\n")]
    [InlineData("/sys/devices/ap/card05/modalias", "ap:t0E\n")]
    [InlineData("/sys/devices/ap/card05/config", "1\n")]
    [InlineData("/sys/devices/ap/card05/chkstop", "0\n")]
    [InlineData("/sys/devices/ap/card05/max_msg_size", "12288\n")]
    [InlineData("/sys/devices/ap/card05/type", "CEX8C\n")]
    [InlineData("/sys/devices/ap/card06/type", "CEX8A\n")]
    [InlineData("/sys/devices/ap/card05/online", "1\n")]
    [InlineData("/sys/devices/ap/card05/load", "0\n")]
    [InlineData("/sys/devices/ap/card05/serialnr", "93AABEET\n")]
    [InlineData("/sys/devices/ap/card05/uevent", "DEVTYPE=ap_card\nDRIVER=cex4card\nDEV_TYPE=000E\nMODALIAS=ap:t0E\nMODE=cca\n")]
    [InlineData("/sys/devices/ap/card06/06.0004/uevent", "DEVTYPE=ap_queue\nDRIVER=cex4queue\nMODE=accel\n")]
    [InlineData("/sys/bus/ap/devices/05.0004/request_count", "0\n")]
    [InlineData("/sys/bus/ap/devices/05.0004/config", "1\n")]
    [InlineData("/sys/bus/ap/devices/05.0004/chkstop", "0\n")]
    [InlineData("/sys/bus/ap/devices/05.0004/ap_functions", "0x92800000\n")]
    [InlineData("/sys/bus/ap/devices/05.0004/online", "1\n")]
    [InlineData("/sys/bus/ap/devices/05.0004/reset", "Reset in progress.\n")]
    [InlineData("/sys/module/ap/parameters/domain", "4\n")]
    [InlineData("/sys/module/ap/parameters/poll_thread", "0\n")]
    [InlineData("/sys/module/ap/parameters/useirq", "1\n")]
    [InlineData("/sys/module/ap/parameters/apmask", "(null)\n")]
    [InlineData("/sys/module/ap/parameters/msgpool_min_items", "8\n")]
    [InlineData("/sys/module/vfio_ap/initstate", "live\n")]
    [InlineData("/sys/bus/matrix/devices/matrix/features", "guest_matrix hotplug ap_config\n")]
    [InlineData("/sys/class/mdev_bus/matrix/mdev_supported_types/vfio_ap-passthrough/available_instances", "65536\n")]
    public void Shows(string path, string text) => Assert.Equal((Errno.Ok, text), Read(path));

    [Theory]
    [InlineData("/sys/bus/ap/ap_domain", "0x47", Errno.Ok)]
    [InlineData("/sys/bus/ap/ap_domain", "256", Errno.EINVAL)]
    [InlineData("/sys/bus/ap/ap_domain", "-1", Errno.EINVAL)]
    [InlineData("/sys/bus/ap/ap_domain", "x", Errno.EINVAL)]
    [InlineData("/sys/bus/ap/config_time", "45", Errno.Ok)]
    [InlineData("/sys/bus/ap/config_time", "4", Errno.EINVAL)]
    [InlineData("/sys/bus/ap/config_time", "121", Errno.EINVAL)]
    [InlineData("/sys/bus/ap/poll_thread", "2", Errno.EINVAL)]
    [InlineData("/sys/bus/ap/poll_timeout", "120000000000", Errno.Ok)]
    [InlineData("/sys/bus/ap/poll_timeout", "120000000001", Errno.EINVAL)]
    [InlineData("/sys/bus/ap/poll_timeout", "18446744073709551616", Errno.ERANGE)]
    [InlineData("/sys/bus/ap/ap_max_domain_id", "1", Errno.EACCES)]
    [InlineData("/sys/bus/ap/apmask", "0X1", Errno.EINVAL)]
    [InlineData("/sys/bus/ap/drivers_probe", "07.0001", Errno.ENODEV)]
    [InlineData("/sys/devices/ap/card05/online", "2", Errno.EINVAL)]
    [InlineData("/sys/devices/ap/card05/config", "x", Errno.EINVAL)]
    [InlineData("/sys/bus/ap/devices/05.0004/config", "1", Errno.EACCES)]
    [InlineData("/sys/bus/ap/devices/05.0004/online", "5", Errno.EINVAL)]
    [InlineData("/sys/devices/ap/card06/serialnr", "1", Errno.ENOENT)]
    [InlineData("/sys/bus/ap/drivers/vfio_ap/bind", "05.0004", Errno.EBUSY)]
    [InlineData("/sys/bus/ap/drivers/vfio_ap/bind", "card05", Errno.ENODEV)]
    [InlineData("/sys/bus/ap/drivers/vfio_ap/unbind", "05.0004", Errno.ENODEV)]
    [InlineData("/sys/bus/mdev/drivers/vfio_ap_mdev/bind", "x", Errno.ENODEV)]
    [InlineData("/sys/bus/matrix/drivers/vfio_ap/bind", "matrix", Errno.ENOENT)]
    public void Stores(string path, string text, Errno error) => Assert.Equal(error, Write(path, text));

    [Fact]
    public void The_poll_thread_stays_off_while_interrupts_are_used()
    {
        Assert.Equal(Errno.Ok, Write("/sys/bus/ap/poll_thread", "1"));
        Assert.Equal("0\n", Read("/sys/bus/ap/poll_thread").Text);
    }

    [Fact]
    public void A_queue_of_the_host_comes_up_with_interrupts()
    {
        Assert.Equal("Reset in progress.\n", Read("/sys/bus/ap/devices/05.0004/reset").Text);
        _runtime.Advance(TimeSpan.FromMilliseconds(45));
        Assert.Equal("Enable Interrupt pending.\n", Read("/sys/bus/ap/devices/05.0004/interrupt").Text);
        _runtime.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal("No Reset Timer set.\n", Read("/sys/bus/ap/devices/05.0004/reset").Text);
        Assert.Equal("Interrupts enabled.\n", Read("/sys/bus/ap/devices/05.0004/interrupt").Text);
    }

    [Fact]
    public void A_queue_moved_to_vfio_ap_has_status_and_no_online()
    {
        Assert.Equal(Errno.Ok, Write("/sys/bus/ap/apmask", "-5"));
        Assert.Equal("unassigned\n", Read("/sys/bus/ap/devices/05.0004/status").Text);
        Assert.Equal(Errno.ENOENT, Read("/sys/bus/ap/devices/05.0004/online").Error);
        Assert.Equal("-\n", Read("/sys/bus/ap/devices/05.0004/request_count").Text);
        Assert.Contains(_events, e => e.StartsWith("change@/devices/ap SUBSYSTEM=ap APMASK=0xfb", StringComparison.Ordinal));
    }

    [Fact]
    public void Card_config_changes_at_once_and_queues_follow_at_the_next_scan()
    {
        Assert.Equal(Errno.Ok, Write("/sys/devices/ap/card05/config", "0"));
        Assert.Equal("0\n", Read("/sys/devices/ap/card05/config").Text);
        Assert.Equal("0\n", Read("/sys/devices/ap/card05/online").Text);
        Assert.Equal(Errno.ENODEV, Write("/sys/devices/ap/card05/online", "1"));
        Assert.Equal("1\n", Read("/sys/bus/ap/devices/05.0004/config").Text);
        Assert.Equal(Errno.Ok, Write("/sys/bus/ap/scans", "1"));
        Assert.Equal("0\n", Read("/sys/bus/ap/devices/05.0004/config").Text);
        Assert.Equal(Errno.ENODEV, Write("/sys/bus/ap/devices/05.0004/online", "1"));
        Assert.Equal("8/8 (complete)\n", Read("/sys/bus/ap/bindings").Text);
    }

    [Fact]
    public void Card_online_sets_its_queues_and_tells_of_each()
    {
        _events.Clear();
        Assert.Equal(Errno.Ok, Write("/sys/devices/ap/card06/online", "0"));
        Assert.Equal("0\n", Read("/sys/bus/ap/devices/06.0004/online").Text);
        Assert.Equal(5, _events.Count);
        Assert.StartsWith("change@/devices/ap/card06 SUBSYSTEM=ap ONLINE=0", _events[0], StringComparison.Ordinal);
        Assert.Equal(Errno.EINVAL, Write("/sys/bus/ap/devices/06.0004/online", "1"));
    }

    [Fact]
    public void Boot_tells_of_the_first_scan_and_of_complete_bindings()
    {
        Assert.Contains(_events, e => e.Contains("INITSCAN=done", StringComparison.Ordinal));
        Assert.Contains(_events, e => e.Contains("BINDINGS=complete COMPLETECOUNT=1", StringComparison.Ordinal));
        Assert.Contains(_events, e => e.StartsWith("change@/devices/vfio_ap/matrix SUBSYSTEM=matrix MDEV_STATE=registered", StringComparison.Ordinal));
    }

    [Fact]
    public void The_whole_tree_can_be_read()
    {
        int files = 0;
        Walk(_host.Tree.Root);
        // Eight queues with at least 14 readable files each, two cards, the bus.
        Assert.True(files > (8 * 14) + 40, $"{files} files");

        void Walk(SysfsDirectory directory)
        {
            foreach (SysfsEntry entry in directory.List())
            {
                Assert.True(directory.TryFind(entry.Name, out SysfsEntry again), $"{directory.Path}/{entry.Name}");
                Assert.Equal(entry.Kind, again.Kind);
                if (entry.Kind == SysfsEntryKind.Directory)
                    Walk(entry.Directory);
                if (entry.Kind == SysfsEntryKind.Link)
                    Assert.StartsWith("..", directory.RelativePathTo(entry.Directory), StringComparison.Ordinal);
                if (entry.Kind != SysfsEntryKind.Attribute || SysfsFile.CheckAccess(entry, SysfsAccess.Read) != Errno.Ok)
                    continue;
                files++;
                Errno error = Read($"{directory.Path}/{entry.Name}").Error;
                Assert.True(error == Errno.Ok || entry.Name == "autosuspend_delay_ms", $"{directory.Path}/{entry.Name}: {error}");
            }
        }
    }
}

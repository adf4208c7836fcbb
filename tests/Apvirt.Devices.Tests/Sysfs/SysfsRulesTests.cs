using System.Text;
using Apvirt.Devices.Core;
using Apvirt.Devices.Events;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Devices.Tests.Sysfs;

/// <summary>The rules that hold for every attribute and every bus (sysfs.md §0).</summary>
public sealed class SysfsRulesTests
{
    private const string Device = "/sys/devices/root/widget";

    private readonly SimulationRuntime _runtime = new();
    private readonly DeviceModel _model;
    private readonly KernelTask _task;
    private readonly TestBus _bus;
    private readonly Widget _widget;
    private readonly WidgetDriver _driver;
    private readonly List<string> _events = [];

    public SysfsRulesTests()
    {
        _model = new DeviceModel(_runtime);
        _task = _runtime.CreateTask("test");
        _model.Uevents.Listen(e => _events.Add($"{e.Action}@{e.DevPath}"));
        RootDevice root = new(_model, "root");
        _model.Tree.Devices.Add(root);
        _bus = new TestBus(_model);
        _widget = new Widget(_model, root);
        _driver = new WidgetDriver(_bus);
        Drive(_bus.AddDeviceAsync(_task, _widget));
        Drive(_bus.RegisterDriverAsync(_task, _driver));
    }

    private void Drive(ValueTask operation) => Assert.True(_runtime.Drive(operation, TimeSpan.FromSeconds(1)));

    private Errno Write(string path, string text) => _runtime.Drive(_model.Tree.WriteAsync(_task, path, Encoding.Latin1.GetBytes(text)));

    private (Errno Error, string Text) Read(string path)
    {
        SysfsText page = new();
        Errno error = _runtime.Drive(_model.Tree.ReadAsync(_task, path, page));
        return (error, page.ToString());
    }

    private SysfsEntry Entry(string path)
    {
        Assert.Equal(Errno.Ok, _model.Tree.Find(path, out SysfsEntry entry, followLast: false));
        return entry;
    }

    [Fact]
    public void G2_text_is_made_at_the_first_read_and_again_at_offset_0()
    {
        Assert.Equal(Errno.Ok, SysfsFile.Open(Entry($"{Device}/value"), SysfsAccess.Read, out SysfsFile? file));
        byte[] into = new byte[3];
        _widget.Value = "abcdef";
        Assert.Equal((Errno.Ok, 3), _runtime.Drive(file!.ReadAsync(_task, 0, into)));
        _widget.Value = "ghijkl";
        Assert.Equal((Errno.Ok, 3), _runtime.Drive(file.ReadAsync(_task, 3, into)));
        Assert.Equal("def", Encoding.ASCII.GetString(into));
        Assert.Equal((Errno.Ok, 3), _runtime.Drive(file.ReadAsync(_task, 0, into)));
        Assert.Equal("ghi", Encoding.ASCII.GetString(into));
        Assert.Equal((Errno.Ok, 0), _runtime.Drive(file.ReadAsync(_task, 6, into)));
    }

    [Fact]
    public void G3_a_write_is_cut_to_4096_bytes_and_at_a_NUL()
    {
        Assert.Equal(Errno.Ok, SysfsFile.Open(Entry($"{Device}/value"), SysfsAccess.Write, out SysfsFile? file));
        Assert.Equal((Errno.Ok, 4096), _runtime.Drive(file!.WriteAsync(_task, new byte[5000].Select(_ => (byte)'x').ToArray())));
        Assert.Equal(4096, _widget.Value.Length);
        Assert.Equal(Errno.Ok, Write($"{Device}/value", "ab\0cd"));
        Assert.Equal("ab", _widget.Value);
    }

    [Fact]
    public void G4_a_write_of_nothing_reaches_nothing()
    {
        _widget.Value = "kept";
        Assert.Equal(Errno.Ok, Write($"{Device}/value", ""));
        Assert.Equal("kept", _widget.Value);
    }

    [Fact]
    public void G6_the_mode_counts_even_for_root()
    {
        Assert.Equal(Errno.EACCES, Write($"{Device}/readonly", "1"));
        Assert.Equal(Errno.EACCES, Read("/sys/bus/test/drivers/widgets/bind").Error);
    }

    [Fact]
    public void G9_a_file_kept_open_answers_ENODEV_when_its_device_is_gone()
    {
        Assert.Equal(Errno.Ok, SysfsFile.Open(Entry($"{Device}/value"), SysfsAccess.Read | SysfsAccess.Write, out SysfsFile? file));
        Drive(_bus.RemoveDeviceAsync(_task, _widget));
        Assert.Equal(Errno.ENODEV, _runtime.Drive(file!.WriteAsync(_task, "1"u8.ToArray())).Error);
        Assert.Equal(Errno.ENODEV, _runtime.Drive(file.ReadAsync(_task, 0, new byte[1])).Error);
        Assert.Equal(Errno.ENOENT, Read($"{Device}/value").Error);
    }

    [Fact]
    public void Unknown_names_are_ENOENT_and_a_file_is_no_directory()
    {
        Assert.Equal(Errno.ENOENT, Read($"{Device}/nosuch").Error);
        Assert.Equal(Errno.ENOENT, Read("/proc/x").Error);
        Assert.Equal(Errno.ENOTDIR, Read($"{Device}/value/x").Error);
        Assert.Equal(Errno.EISDIR, Read(Device).Error);
    }

    [Fact]
    public void Links_are_relative()
    {
        SysfsEntry bus = Entry("/sys/bus/test/devices/widget");
        Assert.Equal(SysfsEntryKind.Link, bus.Kind);
        Assert.Equal("../../../devices/root/widget", Entry("/sys/bus/test/devices").Directory.RelativePathTo(bus.Directory));
        Assert.Equal("../../../bus/test/drivers/widgets", _widget.RelativePathTo(Entry($"{Device}/driver").Directory));
        Assert.Equal("../../../bus/test", _widget.RelativePathTo(Entry($"{Device}/subsystem").Directory));
        Assert.Equal("value", Read("/sys/bus/test/devices/widget/value").Text);
    }

    [Fact]
    public void Every_device_has_power_and_uevent()
    {
        Assert.Equal("auto\n", Read($"{Device}/power/control").Text);
        Assert.Equal("unsupported\n", Read($"{Device}/power/runtime_status").Text);
        Assert.Equal(Errno.EIO, Read($"{Device}/power/autosuspend_delay_ms").Error);
        Assert.Equal("DEVTYPE=widget\nDRIVER=widgets\n", Read($"{Device}/uevent").Text);
    }

    [Theory]
    [InlineData("add", Errno.Ok)]
    [InlineData("change\n", Errno.Ok)]
    [InlineData("change 62177883-f1bb-47f0-914d-32a22e3a8804 A=B", Errno.Ok)]
    [InlineData("nonsense", Errno.EINVAL)]
    [InlineData("change nouuid", Errno.EINVAL)]
    public void A_written_uevent_is_sent(string text, Errno error)
    {
        int before = _events.Count;
        Assert.Equal(error, Write($"{Device}/uevent", text));
        Assert.Equal(before + (error == Errno.Ok ? 1 : 0), _events.Count);
    }

    [Fact]
    public void Bind_and_unbind_answer_as_the_table_says()
    {
        const string Driver = "/sys/bus/test/drivers/widgets";
        Assert.Equal(Errno.EBUSY, Write($"{Driver}/bind", "widget"));
        Assert.Equal(Errno.ENODEV, Write($"{Driver}/bind", "nosuch"));
        Assert.Equal(Errno.ENODEV, Write($"{Driver}/unbind", "widget\n\n"));
        Assert.Equal(Errno.Ok, Write($"{Driver}/unbind", "widget\n"));
        Assert.Equal(Errno.ENODEV, Write($"{Driver}/unbind", "widget"));
        _driver.Answer = Errno.ENOMEM;
        Assert.Equal(Errno.ENOMEM, Write($"{Driver}/bind", "widget"));
        Assert.Null(_widget.Driver);
        _driver.Answer = Errno.Ok;
        Assert.Equal(Errno.ENODEV, Write("/sys/bus/test/drivers_probe", "nosuch"));
        Assert.Equal(Errno.Ok, Write("/sys/bus/test/drivers_probe", "widget"));
        Assert.Same(_driver, _widget.Driver);
        Assert.Equal("1\n", Read("/sys/bus/test/drivers_autoprobe").Text);
        Assert.Equal(Errno.Ok, Write("/sys/bus/test/drivers_autoprobe", "0"));
        Assert.Equal("0\n", Read("/sys/bus/test/drivers_autoprobe").Text);
    }

    [Fact]
    public void Events_come_in_the_order_of_what_happens()
    {
        Drive(_bus.RemoveDeviceAsync(_task, _widget));
        Assert.Equal(["add@/devices/root/widget", "bind@/devices/root/widget", "unbind@/devices/root/widget", "remove@/devices/root/widget"], _events);
    }

    private sealed class TestBus(DeviceModel model) : Bus(model, "test")
    {
        private static readonly AttributeTable Table = new(StandardAttributes);

        public override AttributeTable Attributes => Table;

        protected override bool Matches(Device device, Driver driver) => true;
    }

    private sealed class Widget(DeviceModel model, SysfsDirectory parent)
        : Device(model, "widget", parent, new LockClass("device_lock(widget)", LockKind.Mutex))
    {
        private static readonly AttributeTable Table = new(
        [
            new SysfsAttribute<Widget>(
                "value",
                SysfsMode.ReadWrite,
                (_, widget, text) =>
                {
                    text.Append(widget.Value);
                    return new ValueTask<Errno>(Errno.Ok);
                },
                (_, widget, text) =>
                {
                    widget.Value = Encoding.ASCII.GetString(text.Span);
                    return new ValueTask<Errno>(Errno.Ok);
                }),
            new SysfsAttribute<Widget>("readonly", (_, text) => text.Append("1\n"u8)),
        ]);

        public string Value { get; set; } = "value";

        public override AttributeTable Attributes => Table;

        public override string? DeviceType => "widget";
    }

    private sealed class WidgetDriver(TestBus bus) : Driver(bus, "widgets")
    {
        public Errno Answer { get; set; }

        public override ValueTask<Errno> ProbeAsync(KernelTask task, Device device) => new(Answer);

        public override ValueTask RemoveAsync(KernelTask task, Device device) => default;
    }
}

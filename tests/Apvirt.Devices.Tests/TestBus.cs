using System.Text;
using Apvirt.Devices.Core;
using Apvirt.Devices.Events;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Devices.Tests;

/// <summary>A bus whose drivers take the devices whose kind they name.</summary>
internal sealed class TestBus(DeviceModel model) : Bus(model, "test")
{
    private static readonly AttributeTable Table = new(StandardAttributes);

    public override AttributeTable Attributes => Table;

    protected override bool Matches(Device device, Driver driver) =>
        ((TestDevice)device).Kind == ((TestDriver)driver).Kind;
}

internal sealed class TestDriver(TestBus bus, string name, string kind = "good", bool suppressesBind = false) : Driver(bus, name)
{
    private static readonly AttributeTable Table = new(
        [new SysfsAttribute<TestDevice>("bound_only", (_, text) => text.Append("here\n"u8))]);

    public string Kind { get; } = kind;

    public Errno ProbeAnswer { get; set; }

    public override bool SuppressesBind { get; } = suppressesBind;

    public override ValueTask<Errno> ProbeAsync(KernelTask task, Device device)
    {
        if (ProbeAnswer == Errno.Ok)
            device.AddDriverAttributes(task, Table);
        return new ValueTask<Errno>(ProbeAnswer);
    }

    public override ValueTask RemoveAsync(KernelTask task, Device device) => device.RemoveDriverAttributesAsync(task);
}

internal sealed class TestDevice(DeviceModel model, string name, SysfsDirectory parent, string kind = "good")
    : Device(model, name, parent, Classes)
{
    private static readonly DeviceLockClasses Classes = new("test");

    private static readonly AttributeTable Table = new(
    [
        new SysfsAttribute<TestDevice>("value", SysfsMode.ReadWrite, ShowValue, StoreValue),
        new SysfsAttribute<TestDevice>("write_only", SysfsMode.WriteOnly, store: StoreValue),
        new SysfsAttribute<TestDevice>("read_only", (device, text) => text.Append($"{++device.Shows}\n".AsSpan())),
        new SysfsAttribute<TestDevice>("failing", SysfsMode.ReadWrite, (_, _, _) => new(Errno.EIO), (_, _, _) => new(Errno.EUSERS)),
        new SysfsAttribute<TestDevice>("slow", SysfsMode.ReadWrite, ShowSlowAsync),
        new SysfsAttribute<TestDevice>("long", (_, text) => text.Append(new string('x', 5000).AsSpan())),
    ]);

    public string Kind { get; } = kind;

    /// <summary>What each store saw, as text.</summary>
    public List<string> Stored { get; } = [];

    public int Shows { get; set; }

    /// <summary>Lets a reader of <c>slow</c> end.</summary>
    public Completion Gate { get; } = new(model.Runtime, name);

    public override string? DeviceType => "test_device";

    public override AttributeTable Attributes => Table;

    protected override void AddBusVariables(ICollection<KeyValuePair<string, string>> variables) =>
        variables.Add(new("KIND", Kind));

    private static ValueTask<Errno> ShowValue(KernelTask task, TestDevice device, SysfsText text)
    {
        text.Append((device.Stored.LastOrDefault() ?? "nothing\n").AsSpan());
        return new ValueTask<Errno>(Errno.Ok);
    }

    private static ValueTask<Errno> StoreValue(KernelTask task, TestDevice device, ReadOnlyMemory<byte> text)
    {
        device.Stored.Add(Encoding.UTF8.GetString(text.Span));
        return new ValueTask<Errno>(Errno.Ok);
    }

    private static async ValueTask<Errno> ShowSlowAsync(KernelTask task, TestDevice device, SysfsText text)
    {
        await device.Gate.WaitAsync(task);
        text.Append("at last\n"u8);
        return Errno.Ok;
    }
}

/// <summary>A machine with a test bus, and what a program with one system call at a time would do on it.</summary>
internal sealed class TestMachine
{
    public TestMachine()
    {
        Model = new DeviceModel(Runtime);
        Task = Runtime.CreateTask("user");
        Bus = new TestBus(Model);
        Parent = new RootDevice(Model, "testroot");
        Model.Tree.Devices.Add(Parent);
        Model.Uevents.Listen(Events.Add);
    }

    public SimulationRuntime Runtime { get; } = new();

    public DeviceModel Model { get; }

    public KernelTask Task { get; }

    public TestBus Bus { get; }

    public RootDevice Parent { get; }

    public List<Uevent> Events { get; } = [];

    public TestDevice AddDevice(string name, string kind = "good")
    {
        TestDevice device = new(Model, name, Parent, kind);
        Runtime.Drive(Bus.AddDeviceAsync(Task, device));
        return device;
    }

    public TestDriver AddDriver(string name, string kind = "good", bool suppressesBind = false)
    {
        TestDriver driver = new(Bus, name, kind, suppressesBind);
        Runtime.Drive(Bus.RegisterDriverAsync(Task, driver));
        return driver;
    }

    public void Remove(Device device) => Assert.True(Runtime.Drive(Bus.RemoveDeviceAsync(Task, device)));

    public Errno Write(string path, string text) => Write(path, Encoding.UTF8.GetBytes(text));

    public Errno Write(string path, byte[] data) => Runtime.Drive(Model.Tree.WriteAsync(Task, path, data));

    public Errno Read(string path, out string value)
    {
        SysfsText text = new();
        Errno error = Runtime.Drive(Model.Tree.ReadAsync(Task, path, text));
        value = text.ToString();
        return error;
    }

    public string Read(string path)
    {
        Assert.Equal(Errno.Ok, Read(path, out string value));
        return value;
    }

    public SysfsEntry Find(string path, bool followLast = true)
    {
        Assert.Equal(Errno.Ok, Model.Tree.Find(path, out SysfsEntry entry, followLast));
        return entry;
    }

    public bool Exists(string path) => Model.Tree.Find(path, out _, followLast: false) == Errno.Ok;

    public SysfsFile Open(string path, SysfsAccess access)
    {
        Assert.Equal(Errno.Ok, SysfsFile.Open(Find(path), access, out SysfsFile? file));
        return file!;
    }

    /// <summary>The text of a link as readlink gives it.</summary>
    public string LinkText(string directory, string name)
    {
        SysfsEntry link = Find($"{directory}/{name}", followLast: false);
        Assert.Equal(SysfsEntryKind.Link, link.Kind);
        return Find(directory).Directory.RelativePathTo(link.Directory);
    }
}

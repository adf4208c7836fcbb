using System.Text;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Devices.Tests.Sysfs;

/// <summary>Rules G1 to G10 of sysfs.md §0.</summary>
public sealed class GenericRulesTests
{
    private const string Path = "/sys/devices/testroot/dev0";

    private readonly TestMachine _machine = new();
    private readonly TestDevice _device;

    public GenericRulesTests() => _device = _machine.AddDevice("dev0");

    [Theory]
    [InlineData(SysfsMode.ReadOnly, "444")]
    [InlineData(SysfsMode.ReadWrite, "644")]
    [InlineData(SysfsMode.WriteOnly, "200")]
    [InlineData(SysfsMode.OwnerReadWrite, "600")]
    [InlineData(SysfsMode.GroupReadOnly, "440")]
    public void G1ModesHaveTheirOctalValues(SysfsMode mode, string octal) => Assert.Equal(octal, Convert.ToString((int)mode, 8));

    [Fact]
    public void G1LinksAreRelative()
    {
        Assert.Equal("../../../devices/testroot/dev0", _machine.LinkText("/sys/bus/test/devices", "dev0"));
        Assert.Equal("../../../bus/test", _machine.LinkText(Path, "subsystem"));
    }

    [Fact]
    public void G2AnOpenFileServesItsSnapshotUntilItIsReadFromTheStart()
    {
        SysfsFile file = _machine.Open(Path + "/read_only", SysfsAccess.Read);
        Assert.Equal(0, _device.Shows);
        Assert.Equal("1", Read(file, offset: 0, length: 1));
        Assert.Equal("\n", Read(file, offset: 1, length: 10));
        Assert.Equal("", Read(file, offset: 2, length: 10));
        Assert.Equal("", Read(file, offset: 100, length: 10));
        Assert.Equal(1, _device.Shows);
        Assert.Equal("2\n", Read(file, offset: 0, length: 10));
        Assert.Equal("\n", Read(file, offset: 1, length: 10));
    }

    [Fact]
    public void G2TextIsProducedAtTheFirstReadWhereverThatIs()
    {
        SysfsFile file = _machine.Open(Path + "/read_only", SysfsAccess.Read);
        Assert.Equal("\n", Read(file, offset: 1, length: 10));
        Assert.Equal(1, _device.Shows);
    }

    [Fact]
    public void ATextReachesUserSpaceUpTo4095Bytes() => Assert.Equal(4095, _machine.Read(Path + "/long").Length);

    [Fact]
    public void G3AWriteIsCutTo4096BytesAndSaysSo()
    {
        SysfsFile file = _machine.Open(Path + "/value", SysfsAccess.Write);
        (Errno error, int count) = _machine.Runtime.Drive(file.WriteAsync(_machine.Task, new byte[5000].Select(_ => (byte)'z').ToArray()));
        Assert.Equal(Errno.Ok, error);
        Assert.Equal(4096, count);
        Assert.Equal(new string('z', 4096), Assert.Single(_device.Stored));
    }

    [Fact]
    public void G3ANulEndsTheTextButTheWholeWriteIsTaken()
    {
        SysfsFile file = _machine.Open(Path + "/value", SysfsAccess.Write);
        (Errno error, int count) = _machine.Runtime.Drive(file.WriteAsync(_machine.Task, "12\0345"u8.ToArray()));
        Assert.Equal((Errno.Ok, 6), (error, count));
        Assert.Equal("12", Assert.Single(_device.Stored));
    }

    [Fact]
    public void G3EachWriteIsAStoreOfItsOwn()
    {
        SysfsFile file = _machine.Open(Path + "/value", SysfsAccess.Write);
        _machine.Runtime.Drive(file.WriteAsync(_machine.Task, "a"u8.ToArray()));
        _machine.Runtime.Drive(file.WriteAsync(_machine.Task, "b"u8.ToArray()));
        Assert.Equal(["a", "b"], _device.Stored);
    }

    [Fact]
    public void G4AnEmptyWriteDoesNothing()
    {
        SysfsFile file = _machine.Open(Path + "/value", SysfsAccess.Write);
        Assert.Equal((Errno.Ok, 0), _machine.Runtime.Drive(file.WriteAsync(_machine.Task, default)));
        Assert.Equal(Errno.Ok, _machine.Write(Path + "/failing", ""));
        Assert.Empty(_device.Stored);
    }

    [Theory]
    [InlineData("value", SysfsAccess.Read, Errno.Ok)]
    [InlineData("value", SysfsAccess.Write, Errno.Ok)]
    [InlineData("value", SysfsAccess.Read | SysfsAccess.Write, Errno.Ok)]
    [InlineData("read_only", SysfsAccess.Read, Errno.Ok)]
    [InlineData("read_only", SysfsAccess.Write, Errno.EACCES)]
    [InlineData("read_only", SysfsAccess.Read | SysfsAccess.Write, Errno.EACCES)]
    [InlineData("write_only", SysfsAccess.Read, Errno.EACCES)]
    [InlineData("write_only", SysfsAccess.Write, Errno.Ok)]
    [InlineData("write_only", SysfsAccess.Read | SysfsAccess.Write, Errno.EACCES)]
    [InlineData("uevent", SysfsAccess.Read | SysfsAccess.Write, Errno.Ok)]
    [InlineData("power", SysfsAccess.Read, Errno.EISDIR)]
    public void G6TheModeCountsEvenForRoot(string name, SysfsAccess access, Errno expected)
    {
        Assert.Equal(expected, SysfsFile.Open(_machine.Find($"{Path}/{name}"), access, out SysfsFile? file));
        Assert.Equal(expected == Errno.Ok, file is not null);
    }

    [Fact]
    public void G9AnOpenFileOfARemovedDeviceAnswersEnodevAndItsNameIsGone()
    {
        SysfsFile file = _machine.Open(Path + "/value", SysfsAccess.Read | SysfsAccess.Write);
        Assert.Equal("nothing\n", Read(file, offset: 0, length: 100));
        _machine.Remove(_device);
        Memory<byte> buffer = new byte[10];
        Assert.Equal((Errno.ENODEV, 0), _machine.Runtime.Drive(file.ReadAsync(_machine.Task, 0, buffer)));
        Assert.Equal((Errno.ENODEV, 0), _machine.Runtime.Drive(file.ReadAsync(_machine.Task, 3, buffer)));
        Assert.Equal((Errno.ENODEV, 0), _machine.Runtime.Drive(file.WriteAsync(_machine.Task, "x"u8.ToArray())));
        Assert.Empty(_device.Stored);
        Assert.Equal(Errno.ENOENT, _machine.Read(Path + "/value", out _));
        Assert.Equal(Errno.ENOENT, _machine.Write(Path + "/value", "x"));
        Assert.False(_machine.Exists(Path));
        Assert.False(_machine.Exists("/sys/bus/test/devices/dev0"));
    }

    [Fact]
    public void G9AnOpenFileOfADriverIsGoneWithTheDriver()
    {
        TestDriver driver = _machine.AddDriver("drv");
        SysfsFile file = _machine.Open(Path + "/bound_only", SysfsAccess.Read);
        Assert.Equal("here\n", Read(file, offset: 0, length: 100));
        Assert.Equal(Errno.Ok, _machine.Runtime.Drive(_machine.Bus.UnbindAsync(_machine.Task, driver, _device)));
        Assert.Equal(Errno.ENODEV, _machine.Runtime.Drive(file.ReadAsync(_machine.Task, 0, new byte[10])).Error);
        Assert.False(_machine.Exists(Path + "/bound_only"));
        Assert.True(_machine.Exists(Path + "/value"));
        Assert.Equal(Errno.Ok, _machine.Runtime.Drive(_machine.Bus.BindAsync(_machine.Task, driver, _device)));
        Assert.Equal("here\n", _machine.Read(Path + "/bound_only"));
    }

    [Fact]
    public void RemovingADeviceWaitsForOperationsOnItsFiles()
    {
        SysfsFile file = _machine.Open(Path + "/slow", SysfsAccess.Read);
        byte[] buffer = new byte[100];
        int read = -1;
        _machine.Runtime.Spawn("reader", async task => (_, read) = await file.ReadAsync(task, 0, buffer));
        _machine.Runtime.Advance(TimeSpan.Zero);
        SpawnedTask remover = _machine.Runtime.Spawn("remover", task => _machine.Bus.RemoveDeviceAsync(task, _device));
        _machine.Runtime.Advance(TimeSpan.FromMinutes(1));
        Assert.False(remover.IsCompleted);
        Assert.False(_machine.Exists(Path));
        _device.Gate.CompleteAll();
        _machine.Runtime.Advance(TimeSpan.Zero);
        Assert.True(remover.IsCompleted);
        Assert.NotEqual(-1, read);
    }

    [Fact]
    public void G10ErrorsComeFromTheCallNotFromOpening()
    {
        SysfsFile file = _machine.Open(Path + "/failing", SysfsAccess.Read | SysfsAccess.Write);
        Assert.Equal((Errno.EIO, 0), _machine.Runtime.Drive(file.ReadAsync(_machine.Task, 0, new byte[10])));
        Assert.Equal((Errno.EUSERS, 0), _machine.Runtime.Drive(file.WriteAsync(_machine.Task, "x"u8.ToArray())));
    }

    [Theory]
    [InlineData("/sys/devices/testroot/nosuch", Errno.ENOENT)]
    [InlineData("/sys/devices/nosuch/value", Errno.ENOENT)]
    [InlineData("/proc/devices", Errno.ENOENT)]
    [InlineData("sys/devices", Errno.ENOENT)]
    [InlineData("/sys/devices/testroot/dev0/value/x", Errno.ENOTDIR)]
    [InlineData("/sys/bus/test/devices/dev0/value", Errno.Ok)]
    [InlineData("/sys/bus/test/devices/dev0/../dev0/./value", Errno.Ok)]
    [InlineData("/sys//devices/testroot/dev0/subsystem/devices/dev0/value", Errno.Ok)]
    public void PathsAreFollowedThroughLinks(string path, Errno expected) =>
        Assert.Equal(expected, _machine.Model.Tree.Find(path, out _));

    [Fact]
    public void EveryEntryThatIsListedIsFound()
    {
        _machine.AddDriver("drv");
        foreach (string path in (string[])[Path, Path + "/power", "/sys/bus/test", "/sys/bus/test/drivers/drv", "/sys/bus/test/devices"])
        {
            SysfsDirectory directory = _machine.Find(path).Directory;
            string[] names = [.. directory.List().Select(entry => entry.Name)];
            Assert.NotEmpty(names);
            Assert.Equal(names.Length, names.Distinct(StringComparer.Ordinal).Count());
            Assert.All(names, name => Assert.True(directory.TryFind(name, out _)));
        }
    }

    [Theory]
    [InlineData("control", SysfsMode.ReadWrite, "auto\n")]
    [InlineData("runtime_status", SysfsMode.ReadOnly, "unsupported\n")]
    [InlineData("runtime_active_time", SysfsMode.ReadOnly, "0\n")]
    [InlineData("runtime_suspended_time", SysfsMode.ReadOnly, "0\n")]
    [InlineData("autosuspend_delay_ms", SysfsMode.ReadWrite, null)]
    public void PowerFilesAreThoseOfADeviceWithoutPowerManagement(string name, SysfsMode mode, string? text)
    {
        Assert.Equal(mode, _machine.Find($"{Path}/power/{name}").Attribute!.Mode);
        if (text is null)
            Assert.Equal(Errno.EIO, _machine.Read($"{Path}/power/{name}", out _));
        else
            Assert.Equal(text, _machine.Read($"{Path}/power/{name}"));
    }

    private string Read(SysfsFile file, long offset, int length)
    {
        byte[] buffer = new byte[length];
        (Errno error, int count) = _machine.Runtime.Drive(file.ReadAsync(_machine.Task, offset, buffer));
        Assert.Equal(Errno.Ok, error);
        return Encoding.UTF8.GetString(buffer, 0, count);
    }
}

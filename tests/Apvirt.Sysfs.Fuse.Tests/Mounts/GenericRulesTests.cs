using System.IO.Enumeration;
using System.Text;
using Apvirt.Kernel;

namespace Apvirt.Sysfs.Fuse.Tests.Mounts;

/// <summary>Rules G1 to G10 of sysfs.md §0 through real system calls on a mount.</summary>
public sealed class GenericRulesTests : IDisposable
{
    private readonly MountedHost _host = new([0x04, 0x05], [0x04, 0x47]);

    public void Dispose() => _host.Dispose();

    private string Apmask => _host.At("bus/ap/apmask");

    private string Config => _host.At("bus/ap/config_time");

    [Fact]
    public void G1_size_mode_and_links()
    {
        FileInfo file = new(Apmask);
        Assert.Equal(4096, file.Length);
        Assert.Equal("644", Convert.ToString((int)file.UnixFileMode, 8));
        Assert.Equal("444", Convert.ToString((int)new FileInfo(_host.At("bus/ap/bindings")).UnixFileMode, 8));
        Assert.Equal("200", Convert.ToString((int)new FileInfo(_host.At("bus/ap/drivers/vfio_ap/bind")).UnixFileMode, 8));
        Assert.Equal("755", Convert.ToString((int)new DirectoryInfo(_host.At("bus/ap")).UnixFileMode, 8));
        Assert.Equal("../../../devices/ap/card04/04.0004", new FileInfo(_host.At("bus/ap/devices/04.0004")).LinkTarget);
        int truncated = MountedHost.Open(Config, MountedHost.WriteOnly | MountedHost.Create | MountedHost.Truncate);
        Assert.True(truncated >= 0);
        Assert.Equal(4096, new FileInfo(Config).Length);
        _ = MountedHost.Close(truncated);
        Assert.Equal(4096, new FileInfo(Config).Length);
    }

    [Fact]
    public void G2_a_snapshot_is_served_until_it_is_read_from_the_start()
    {
        int file = MountedHost.Open(Config, MountedHost.ReadOnly);
        byte[] buffer = new byte[100];
        Assert.Equal(1, MountedHost.Read(file, buffer, 1));
        Assert.Equal((byte)'3', buffer[0]);
        Assert.Equal(Errno.Ok, _host.Write("bus/ap/config_time", "45"));
        Assert.Equal(2, MountedHost.Read(file, buffer, 100));
        Assert.Equal("0\n", Encoding.ASCII.GetString(buffer, 0, 2));
        Assert.Equal(0, MountedHost.Read(file, buffer, 100));
        Assert.Equal(3, MountedHost.ReadAt(file, buffer, 100, 0));
        Assert.Equal("45\n", Encoding.ASCII.GetString(buffer, 0, 3));
        _ = MountedHost.Close(file);
    }

    [Fact]
    public void G3_G5_one_write_is_one_store_cut_at_4096_bytes()
    {
        int file = MountedHost.Open(Config, MountedHost.WriteOnly);
        Assert.Equal(7, MountedHost.Write(file, "45 abcd"u8.ToArray(), 7));
        Assert.Equal("45\n", _host.Read("bus/ap/config_time"));
        Assert.Equal(3, MountedHost.Write(file, "46\0"u8.ToArray(), 3));
        Assert.Equal("46\n", _host.Read("bus/ap/config_time"));
        byte[] large = new byte[200_000];
        "47\0"u8.CopyTo(large);
        Assert.Equal(4096, MountedHost.Write(file, large, 5000));
        Assert.Equal(4096, MountedHost.Write(file, large, 200_000));
        Assert.Equal("47\n", _host.Read("bus/ap/config_time"));
        _ = MountedHost.Close(file);
    }

    [Fact]
    public void G4_an_empty_write_does_nothing()
    {
        int file = MountedHost.Open(Config, MountedHost.WriteOnly);
        Assert.Equal(0, MountedHost.Write(file, [], 0));
        _ = MountedHost.Close(file);
        Assert.Equal("30\n", _host.Read("bus/ap/config_time"));
    }

    [Theory]
    [InlineData("bus/ap/bindings", MountedHost.WriteOnly, Errno.EACCES)]
    [InlineData("bus/ap/bindings", MountedHost.ReadWrite, Errno.EACCES)]
    [InlineData("bus/ap/drivers/vfio_ap/bind", MountedHost.ReadOnly, Errno.EACCES)]
    [InlineData("bus/ap", MountedHost.WriteOnly, Errno.EISDIR)]
    [InlineData("bus/ap/nosuch", MountedHost.ReadOnly, Errno.ENOENT)]
    [InlineData("bus/ap/bindings/x", MountedHost.ReadOnly, Errno.ENOTDIR)]
    [InlineData("bus/ap/nosuch", MountedHost.WriteOnly | MountedHost.Create, Errno.EACCES)]
    public void G6_G8_what_cannot_be_opened(string path, int flags, Errno expected)
    {
        Assert.Equal(-1, MountedHost.Open(_host.At(path), flags));
        Assert.Equal(expected, MountedHost.LastError);
    }

    [Fact]
    public void G7_truncating_is_accepted_and_does_nothing()
    {
        Assert.Equal(0, MountedHost.TruncateTo(Config, 0));
        Assert.Equal(4096, new FileInfo(Config).Length);
        Assert.Equal("30\n", _host.Read("bus/ap/config_time"));
        File.WriteAllText(Config, "60");
        Assert.Equal("60\n", _host.Read("bus/ap/config_time"));
    }

    [Fact]
    public void G8_nothing_is_made_moved_or_removed()
    {
        (int Result, Errno Error)[] answers =
        [
            (MountedHost.MakeDirectory(_host.At("bus/x"), 0x1ed), MountedHost.LastError),
            (MountedHost.Unlink(Config), MountedHost.LastError),
            (MountedHost.RemoveDirectory(_host.At("bus/ap/devices")), MountedHost.LastError),
            (MountedHost.Rename(Config, _host.At("bus/ap/x")), MountedHost.LastError),
            (MountedHost.SymbolicLink("x", _host.At("bus/y")), MountedHost.LastError),
            (MountedHost.HardLink(Config, _host.At("bus/ap/z")), MountedHost.LastError),
            (MountedHost.ChangeMode(Config, 0x1ff), MountedHost.LastError),
        ];
        Assert.All(answers, answer => Assert.Equal((-1, Errno.EPERM), answer));
    }

    [Fact]
    public void G9_what_has_gone_answers_enodev_when_open_and_enoent_by_name()
    {
        string queue = "devices/ap/card04/04.0004";
        Assert.True(File.Exists(_host.At($"{queue}/config")));
        Assert.Equal("vfio_ap", Path.GetFileName(new FileInfo(_host.At($"{queue}/driver")).LinkTarget));
        int file = MountedHost.Open(_host.At($"{queue}/config"), MountedHost.ReadOnly);
        byte[] buffer = new byte[10];
        Assert.Equal(2, MountedHost.Read(file, buffer, 10));
        _host.Host.Hardware.Configure(Ap.Architecture.ApMask.Of(5), Ap.Architecture.ApMask.Of(4, 0x47), Ap.Architecture.ApMask.Of(4, 0x47));
        Assert.Equal(Errno.Ok, _host.Write("bus/ap/scans", "1"));
        Assert.Equal(-1, MountedHost.ReadAt(file, buffer, 10, 0));
        Assert.Equal(Errno.ENODEV, MountedHost.LastError);
        Assert.Equal(-1, MountedHost.ReadAt(file, buffer, 10, 1));
        Assert.Equal(Errno.ENODEV, MountedHost.LastError);
        _ = MountedHost.Close(file);
        Assert.Equal(Errno.ENOENT, _host.TryRead($"{queue}/config"));
        Assert.False(Directory.Exists(_host.At(queue)));
        Assert.False(Path.Exists(_host.At("bus/ap/devices/04.0004")));
        Assert.False(Path.Exists(_host.At("bus/ap/drivers/vfio_ap/04.0004")));
        Assert.DoesNotContain("04.0004", Directory.EnumerateFileSystemEntries(_host.At("bus/ap/devices")).Select(Path.GetFileName));
    }

    [Fact]
    public void G9_files_and_links_of_a_driver_come_and_go_with_it()
    {
        string queue = "devices/ap/card04/04.0004";
        for (int round = 0; round < 3; round++)
        {
            Assert.Equal("unassigned\n", _host.Read($"{queue}/status"));
            Assert.True(Path.Exists(_host.At($"{queue}/driver")));
            Assert.Equal(Errno.Ok, _host.Write("bus/ap/drivers/vfio_ap/unbind", "04.0004"));
            Assert.Equal(Errno.ENOENT, _host.TryRead($"{queue}/status"));
            Assert.False(Path.Exists(_host.At($"{queue}/driver")));
            Assert.False(Path.Exists(_host.At("bus/ap/drivers/vfio_ap/04.0004")));
            Assert.Equal(Errno.Ok, _host.Write("bus/ap/drivers/vfio_ap/bind", "04.0004"));
            Assert.True(Path.Exists(_host.At("bus/ap/drivers/vfio_ap/04.0004")));
        }
    }

    [Fact]
    public void G10_errors_come_from_the_call()
    {
        Assert.Equal(Errno.EINVAL, _host.Write("bus/ap/config_time", "4"));
        Assert.Equal(Errno.EINVAL, _host.Write("bus/ap/apmask", "0xzz"));
        Assert.Equal(Errno.EIO, _host.TryRead("devices/ap/card04/power/autosuspend_delay_ms"));
        Assert.Equal(Errno.ENODEV, _host.Write("bus/ap/drivers/vfio_ap/unbind", "99.0004"));
    }

    [Fact]
    public void A_listing_shows_what_the_tree_has_and_each_entry_is_found()
    {
        EnumerationOptions all = new() { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.None };
        FileSystemEnumerable<string> paths = new(_host.Directory, (ref FileSystemEntry entry) => entry.ToFullPath(), all)
        {
            ShouldRecursePredicate = (ref FileSystemEntry entry) => !entry.Attributes.HasFlag(FileAttributes.ReparsePoint),
        };
        Assert.All(paths, path => Assert.True(Path.Exists(path), path));
        Assert.Equal(
            _host.Host.ApBus.List().Select(e => e.Name).Order(StringComparer.Ordinal),
            Directory.EnumerateFileSystemEntries(_host.At("bus/ap")).Select(p => Path.GetFileName(p)!).Order(StringComparer.Ordinal));
    }
}

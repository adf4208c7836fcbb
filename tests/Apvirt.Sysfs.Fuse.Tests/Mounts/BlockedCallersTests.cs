using System.Diagnostics;
using Apvirt.Host.Guests;
using Apvirt.Kernel;
using Apvirt.Sysfs.Fuse.Mounts;
using Apvirt.Sysfs.Fuse.Serving;

namespace Apvirt.Sysfs.Fuse.Tests.Mounts;

/// <summary>Callers that sleep in the kernel layers, signals, and mounts that are left over.</summary>
public sealed class BlockedCallersTests : IDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    private readonly MountedHost _host = new([0x04], [0x04, 0x47]);

    public void Dispose() => _host.Dispose();

    // A guest that does not listen to requests keeps its device until it stops.
    private void StartGuest()
    {
        Assert.Equal(Errno.Ok, _host.Write($"{_host.Types}/create", MountedHost.M));
        Assert.Equal(Errno.Ok, _host.Write(_host.Mdev("assign_adapter"), "4"));
        Assert.Equal(Errno.Ok, MountedHost.Wait(_host.Host.Guests.StartAsync(_host.Task, "g", [MountedHost.M], new GuestOptions { RegistersRequest = false })));
    }

    private static void Until(Func<bool> condition) => Assert.True(SpinWait.SpinUntil(condition, Soon));

    [Fact]
    public void A_removal_in_use_blocks_only_its_caller()
    {
        StartGuest();
        Task<Errno> removal = Task.Run(() => _host.Write(_host.Mdev("remove"), "1"));
        Until(() => _host.Mount.Usage.Sleeping == 1);
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal("30\n", _host.Read("bus/ap/config_time"));
            Assert.Equal(Errno.Ok, _host.Write("bus/ap/config_time", "30"));
        }
        Assert.False(removal.IsCompleted);
        Assert.Equal(Errno.Ok, MountedHost.Wait(_host.Host.Guests.StopAsync(_host.Task, "g")));
        Assert.True(removal.Wait(Soon));
        Assert.Equal(Errno.Ok, removal.Result);
        Assert.False(Directory.Exists(_host.At($"devices/vfio_ap/matrix/{MountedHost.M}")));
        Assert.False(Path.Exists(_host.At($"bus/mdev/devices/{MountedHost.M}")));
        Until(() => _host.Mount.Usage == (0, 0, 0));
    }

    [Theory]
    [InlineData("INT")]
    [InlineData("KILL")]
    public void A_signal_frees_the_caller_and_the_removal_goes_on(string signal)
    {
        StartGuest();
        using Process writer = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", $"exec sh -c 'echo 1 > {_host.At(_host.Mdev("remove"))}'"]) { RedirectStandardError = true, UseShellExecute = false })!;
        Until(() => _host.Mount.Usage.Sleeping == 1);
        using (Process kill = Process.Start("/bin/kill", [$"-{signal}", writer.Id.ToString()]))
            kill.WaitForExit();
        Assert.True(writer.WaitForExit(Soon));
        Assert.NotEqual(0, writer.ExitCode);
        Assert.Equal(1, _host.Mount.Usage.Sleeping);
        Assert.Equal(Errno.Ok, MountedHost.Wait(_host.Host.Guests.StopAsync(_host.Task, "g")));
        Until(() => _host.Mount.Usage == (0, 0, 0));
        Assert.Null(_host.Host.Guests.FindMdev(MountedHost.M));
        Assert.Equal("65536\n", _host.Read($"{_host.Types}/available_instances"));
    }

    [Fact]
    public void Unmounting_frees_whoever_sleeps()
    {
        StartGuest();
        Task<Errno> removal = Task.Run(() => _host.Write(_host.Mdev("remove"), "1"));
        Until(() => _host.Mount.Usage.Sleeping == 1);
        _host.Mount.Dispose();
        Assert.True(removal.Wait(Soon));
        Assert.Equal(Errno.EINTR, removal.Result);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_host.Directory));
    }

    [Fact]
    public void A_connection_that_somebody_cuts_frees_whoever_sleeps_and_nothing_is_answered_afterwards()
    {
        StartGuest();
        Task<Errno> removal = Task.Run(() => _host.Write(_host.Mdev("remove"), "1"));
        Until(() => _host.Mount.Usage.Sleeping == 1);
        using (Process cut = Process.Start("/bin/umount", ["-f", "-l", _host.Directory]))
            cut.WaitForExit();
        Assert.True(removal.Wait(Soon));
        Assert.NotEqual(Errno.Ok, removal.Result);
        Assert.True(_host.Mount.Ended.Wait(Soon));
        _host.Mount.Dispose();
        // The kernel goes on with the removal when the session is gone.
        Assert.Equal(1, _host.Mount.Usage.Sleeping);
        Assert.Equal(Errno.Ok, MountedHost.Wait(_host.Host.Guests.StopAsync(_host.Task, "g")));
        Until(() => _host.Mount.Usage.Sleeping == 0);
    }

    [Fact]
    public void A_wait_for_the_masks_ends_with_a_signal()
    {
        Kernel.Tasks.KernelTask holder = _host.Runtime.CreateTask("holder");
        Assert.True(_host.Host.ApBus.PermsMutex.TryLock(holder));
        using Process writer = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", $"echo +4 > {_host.At("bus/ap/apmask")}"]) { RedirectStandardError = true, UseShellExecute = false })!;
        Until(() => _host.Mount.Usage.Sleeping == 1);
        using (Process kill = Process.Start("/bin/kill", ["-TERM", writer.Id.ToString()]))
            kill.WaitForExit();
        Assert.True(writer.WaitForExit(Soon));
        Until(() => _host.Mount.Usage.Sleeping == 0);
        _host.Host.ApBus.PermsMutex.Unlock(holder);
        Assert.StartsWith("0x00", _host.Read("bus/ap/apmask"), StringComparison.Ordinal);
    }

    [Fact]
    public void Unmounting_by_somebody_else_ends_the_mount()
    {
        using (Process unmount = Process.Start("/bin/umount", [_host.Directory]))
            unmount.WaitForExit();
        Assert.True(_host.Mount.Ended.Wait(Soon));
    }

    [Fact]
    public void A_directory_that_is_not_there_is_refused_with_a_sentence()
    {
        string? problem = SysfsMount.Start(_host.Host.Tree, new DirectEntry(_host.Runtime), "/nosuch/directory", out SysfsMount? mount);
        Assert.Equal("/nosuch/directory is no directory; make it first", problem);
        Assert.Null(mount);
    }
}

using System.Collections.Concurrent;
using System.Globalization;
using Apvirt.Ap.Profiles;
using Apvirt.Host.Checks;
using Apvirt.Host.Guests;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;

namespace Apvirt.Sysfs.Fuse.Tests.Mounts;

/// <summary>Alone, because it measures memory and wants the machine for itself.</summary>
[CollectionDefinition(nameof(HammerTests), DisableParallelization = true)]
public sealed class Alone;

/// <summary>Many programs at once on one mount, for a minute, with the lock validator and all guards on.</summary>
[Collection(nameof(HammerTests))]
public sealed class HammerTests
{
    private static readonly TimeSpan Duration = TimeSpan.FromSeconds(
        double.Parse(Environment.GetEnvironmentVariable("APVIRT_HAMMER_SECONDS") ?? "60", CultureInfo.InvariantCulture));

    private static readonly string[] Uuids = [.. Enumerable.Range(1, 4).Select(i => $"00000000-0000-4000-8000-{i:x12}")];

    private static readonly Errno[] None = [];

    [Fact]
    public void Four_writers_and_eight_readers_for_a_minute()
    {
        KernelChecks checks = new(LockOrder.Declared);
        using MountedHost host = new([0x04, 0x05, 0x06], [0x04, 0x47, 0xab], checks: checks, profile: Profile.Strict);
        foreach (string uuid in Uuids)
            Assert.Equal(Errno.Ok, host.Write($"{host.Types}/create", uuid));
        ConcurrentBag<string> wrong = [];
        DateTime end = DateTime.UtcNow + Duration;
        long calls = 0;
        Thread[] threads =
        [
            .. Enumerable.Range(0, 4).Select(i => new Thread(() => Hammer(random => WriteOnce(host, random, wrong), i))),
            .. Enumerable.Range(4, 8).Select(i => new Thread(() => Hammer(random => ReadOnce(host, random, wrong), i))),
            new Thread(() => Hammer(random => StartOrStop(host, random, wrong), 12)),
        ];
        long warm = 0;
        foreach (Thread thread in threads)
            thread.Start();
        // What is kept after a tenth of the time is what is kept at the end.
        Thread.Sleep(Duration / 10);
        warm = HeapSize();
        Assert.All(threads, thread => Assert.True(thread.Join(Duration + TimeSpan.FromSeconds(30)), "a caller hangs"));
        long kept = HeapSize();
        TestContext.Current.TestOutputHelper?.WriteLine($"{calls} calls in {Duration.TotalSeconds} s, {warm >> 10} KiB kept early, {kept >> 10} KiB at the end");
        MountedHost.Wait(LookAsync(host));
        Assert.Empty(wrong.Distinct(StringComparer.Ordinal));
        Assert.Empty(checks.Violations.ToArray().Select(v => v.ToString()));
        Assert.True(SpinWait.SpinUntil(() => host.Mount.Usage == (0, 0, 0), TimeSpan.FromSeconds(10)), host.Mount.Usage.ToString());
        Assert.True(kept < warm + (4 << 20), $"memory grew from {warm >> 10} KiB to {kept >> 10} KiB");

        void Hammer(Action<Random> once, int seed)
        {
            Random random = new(seed);
            while (DateTime.UtcNow < end)
            {
                once(random);
                Interlocked.Increment(ref calls);
            }
        }
    }

    private static async ValueTask<bool> LookAsync(MountedHost host)
    {
        await host.Host.Checks!.LookAtRestAsync(host.Task);
        return true;
    }

    private static long HeapSize()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true);
        return GC.GetGCMemoryInfo(GCKind.FullBlocking).HeapSizeBytes;
    }

    private static void WriteOnce(MountedHost host, Random random, ConcurrentBag<string> wrong)
    {
        string queue = $"0{random.Next(4, 7)}.00{(string[])["04", "47", "ab"] switch { var d => d[random.Next(3)] }}";
        string mdev = $"devices/vfio_ap/matrix/{Uuids[random.Next(Uuids.Length)]}";
        (string path, string text, Errno[] allowed) = random.Next(8) switch
        {
            0 => ("bus/ap/drivers/vfio_ap/unbind", queue, [Errno.ENODEV]),
            1 => ("bus/ap/drivers/vfio_ap/bind", queue, [Errno.ENODEV, Errno.EBUSY]),
            2 => ("bus/ap/apmask", random.Next(2) == 0 ? "+6" : "-6", [Errno.EBUSY]),
            3 => ($"{mdev}/assign_adapter", random.Next(4, 7).ToString(CultureInfo.InvariantCulture), [Errno.EADDRINUSE, Errno.EADDRNOTAVAIL]),
            4 => ($"{mdev}/unassign_adapter", random.Next(4, 7).ToString(CultureInfo.InvariantCulture), []),
            5 => ($"{mdev}/assign_domain", ((string[])["0x04", "0x47", "0xab"])[random.Next(3)], [Errno.EADDRINUSE, Errno.EADDRNOTAVAIL]),
            6 => ($"{mdev}/unassign_domain", ((string[])["0x04", "0x47", "0xab"])[random.Next(3)], None),
            _ => ("bus/ap/drivers_probe", queue, None),
        };
        Errno error = host.Write(path, text);
        if (error != Errno.Ok && !allowed.Contains(error))
            wrong.Add($"write {path}: {error}");
    }

    private static void ReadOnce(MountedHost host, Random random, ConcurrentBag<string> wrong)
    {
        string mdev = $"devices/vfio_ap/matrix/{Uuids[random.Next(Uuids.Length)]}";
        // What comes and goes with a driver may be gone at any moment.
        (string path, Errno[] allowed) = random.Next(6) switch
        {
            0 => ($"{mdev}/matrix", []),
            1 => ($"{mdev}/guest_matrix", []),
            2 => ("bus/ap/apmask", []),
            3 => ("bus/ap/bindings", []),
            4 => ("devices/ap/card04/04.0004/status", [Errno.ENOENT, Errno.ENODEV]),
            _ => ("devices/ap/card05/05.0047/uevent", None),
        };
        Errno error = host.TryRead(path);
        if (error != Errno.Ok && !allowed.Contains(error))
            wrong.Add($"read {path}: {error}");
        if (random.Next(20) == 0)
        {
            int found = Directory.EnumerateFileSystemEntries(host.At("bus/ap/drivers/vfio_ap")).Count();
            if (found is < 4 or > 13)
                wrong.Add($"list drivers/vfio_ap: {found} entries");
        }
    }

    private static void StartOrStop(MountedHost host, Random random, ConcurrentBag<string> wrong)
    {
        Kernel.Tasks.KernelTask task = host.Runtime.CreateTask("manager");
        string guest = $"g{random.Next(3)}";
        Errno error = random.Next(2) == 0
            ? MountedHost.Wait(host.Host.Guests.StartAsync(task, guest, [Uuids[random.Next(Uuids.Length)]], new GuestOptions()))
            : MountedHost.Wait(host.Host.Guests.StopAsync(task, guest));
        if (error is not (Errno.Ok or Errno.ENODEV or Errno.EBUSY or Errno.EPERM))
            wrong.Add($"guest {guest}: {error}");
    }
}

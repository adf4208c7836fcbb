using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Devices.Sysfs;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.Host.Tests.Machines;

/// <summary>Many callers at once, on real threads and under seeded schedules: nobody hangs, and what must hold afterwards holds.</summary>
public sealed class ConcurrencyTests
{
    private static readonly string[] Uuids = ["62177883-f1bb-47f0-914d-32a22e3a8804", "6e5ae7a4-9ee2-4d1e-8b12-7f2f9d3c0001", "b96968d8-1a3f-4c2a-9d0e-5a1b2c3d4e02"];

    private static MachineSetup Setup() => new()
    {
        Configuration = new QciInfo(ApFeatures.Apsc | ApFeatures.Apxa, 255, 255, ApMask.Of(1, 2, 3), ApMask.Of(4, 5), ApMask.Of(4, 5)),
        Adapters = Enumerable.Range(0, 8).ToDictionary(id => id, _ => new AdapterType(14, AdapterType.CcaFunctions)),
        Bus = new ApBusOptions { ApMaskParameter = "0x0", ScansByTimer = false },
    };

    private static async ValueTask CallAsync(VirtualHost host, KernelTask task, SplitMix random, int count)
    {
        SysfsText page = new();
        for (int i = 0; i < count; i++)
        {
            int which = random.Below(3);
            string mdev = $"/sys/devices/vfio_ap/matrix/{Uuids[which]}";
            string queue = Apqn.Of(1 + random.Below(3), 4 + random.Below(2)).ToString();
            switch (random.Below(10))
            {
                case 0:
                    await Write("/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create", Uuids[which]);
                    break;
                case 1:
                    await Write($"{mdev}/{(random.Below(2) == 0 ? "" : "un")}assign_adapter", $"{1 + random.Below(3)}");
                    break;
                case 2:
                    await Write($"{mdev}/{(random.Below(2) == 0 ? "" : "un")}assign_domain", $"{4 + random.Below(2)}");
                    break;
                case 3:
                    await Write($"/sys/bus/ap/drivers/vfio_ap/{(random.Below(2) == 0 ? "" : "un")}bind", queue);
                    break;
                case 4:
                    await Write("/sys/bus/ap/apmask", $"{(random.Below(3) == 0 ? '+' : '-')}{1 + random.Below(3)}");
                    break;
                case 5:
                    await host.Guests.StartAsync(task, $"g{which}", [Uuids[random.Below(3)]], new GuestOptions());
                    break;
                case 6:
                    await host.Guests.StopAsync(task, $"g{which}");
                    break;
                case 7:
                    await host.ConfigureAsync(task, ApMask.Of(1, 2 + random.Below(2)), ApMask.Of(4, 4 + random.Below(2)), ApMask.None);
                    break;
                case 8 when random.Below(4) == 0:
                    await Write($"{mdev}/remove", "1");
                    break;
                default:
                    await host.Tree.ReadAsync(task, $"{mdev}/guest_matrix", page);
                    await host.Tree.ReadAsync(task, $"/sys/bus/ap/devices/{queue}/status", page);
                    break;
            }
        }

        ValueTask<Errno> Write(string path, string text) => host.Tree.WriteAsync(task, path, Encoding.ASCII.GetBytes(text));
    }

    private static void AssertConsistent(VirtualHost host)
    {
        Assert.Null(host.VfioAp.Matrix.GuestsLock.Holder);
        Assert.Null(host.VfioAp.Matrix.MdevsLock.Holder);
        Assert.Null(host.ApBus.PermsMutex.Holder);
        Assert.Equal(host.ApBus.Queues().Count(), host.ApBus.QueueCount);
        Assert.Equal(host.ApBus.Queues().Count(q => q.Driver is not null), host.ApBus.BoundCount);
        foreach (MatrixMdev mdev in host.VfioAp.Matrix.Mdevs)
        {
            foreach (ApQueue queue in host.ApBus.Queues())
            {
                bool isBound = queue.Driver?.Name == "vfio_ap";
                Assert.Equal(isBound && mdev.Matrix.Contains(queue.Apqn), mdev.IsLinked(queue.Apqn));
                if (mdev.Matrix.Contains(queue.Apqn))
                    Assert.False(host.ApBus.AdapterMask[queue.Apqn.Apid] && host.ApBus.DomainMask[queue.Apqn.Apqi]);
            }
            if (mdev.Kvm is { } machine)
                Assert.Equal((mdev.Shadow.Apm, mdev.Shadow.Aqm), (machine.Apcb.Apm, machine.Apcb.Aqm));
        }
    }

    [Fact]
    public async Task On_threads()
    {
        ProductionRuntime runtime = new(1);
        VirtualHost host = await VirtualHost.BootAsync(runtime.CreateTask("boot"), Setup());
        SpawnedTask[] callers = [.. Enumerable.Range(0, 6).Select(i => runtime.Spawn($"caller {i}", task => CallAsync(host, task, new SplitMix((ulong)i), 40)))];
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(60));
        foreach (SpawnedTask caller in callers)
            await caller.JoinAsync(runtime.CreateTask("waiter")).AsTask().WaitAsync(limit.Token);
        AssertConsistent(host);
    }

    [Fact]
    public void Under_seeded_schedules()
    {
        for (ulong seed = 1; seed <= 60; seed++)
        {
            SimulationRuntime runtime = new(seed, preemptive: true);
            VirtualHost host = runtime.Drive(VirtualHost.BootAsync(runtime.CreateTask("boot"), Setup()));
            ulong mine = seed;
            SpawnedTask[] callers = [.. Enumerable.Range(0, 5).Select(i => runtime.Spawn($"caller {i}", task => CallAsync(host, task, new SplitMix((mine * 100) + (ulong)i), 60)))];
            runtime.Advance(TimeSpan.FromHours(1));
            Assert.True(callers.All(c => c.IsCompleted), $"seed {seed}: somebody hangs");
            AssertConsistent(host);
        }
    }
}

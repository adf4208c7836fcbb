using System.Diagnostics;
using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Machines;

namespace Apvirt.Host.Tests.Machines;

/// <summary>64 vCPUs of 8 guests and an administrator who changes what they have: none of them starves.</summary>
public sealed class FairnessTests
{
    private const int Guests = 8;
    private const int VcpusOfGuest = 8;
    private const int Rounds = 300;

    // Under the simulation the order in which tasks run is drawn with even chances, so what differs is what the locks do.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Every_vcpu_gets_its_share_of_mdevs_lock(ulong seed)
    {
        SimulationRuntime runtime = new(seed, preemptive: true);
        VirtualHost host = runtime.Drive(BootAsync(runtime.CreateTask("boot")));
        long[] done = new long[Guests * VcpusOfGuest];
        long changes = 0;
        for (int i = 0; i < done.Length; i++)
        {
            int own = i;
            runtime.Spawn($"vcpu {own}", async task =>
            {
                while (done.Max() < Rounds)
                    await AqicAsync(host, task, own, done);
            });
        }
        runtime.Spawn("administrator", async task =>
        {
            while (done.Max() < Rounds)
                await ChangeAsync(host, task, changes++);
        });
        runtime.Run(() => done.Max() >= Rounds, TimeSpan.FromMinutes(10));
        Assert.Equal(Rounds, done.Max());
        // Whoever waits is served in the order of coming, so nobody is left far behind.
        Assert.InRange(done.Min(), Rounds * 2 / 3, Rounds);
        Assert.InRange(changes, Rounds / 4, long.MaxValue);
    }

    // On threads the shares are also those of the operating system, and of whatever else runs on the machine.
    [Fact]
    public async Task No_vcpu_starves_on_threads()
    {
        ProductionRuntime runtime = new(seed: 1);
        VirtualHost host = await BootAsync(runtime.CreateTask("boot"));
        long[] done = new long[Guests * VcpusOfGuest];
        long changes = 0;
        using Barrier begin = new(done.Length + 1);
        bool isOver = false;
        List<Thread> threads = [.. Enumerable.Range(0, done.Length).Select(i => new Thread(() => Run($"vcpu {i}", task => AqicAsync(host, task, i, done))))];
        threads.Add(new Thread(() => Run("administrator", task => ChangeAsync(host, task, changes++))));
        threads.ForEach(thread => thread.Start());
        Stopwatch clock = Stopwatch.StartNew();
        while (clock.Elapsed < TimeSpan.FromSeconds(2))
            await Task.Delay(50);
        Volatile.Write(ref isOver, true);
        threads.ForEach(thread => thread.Join());
        TestContext.Current.TestOutputHelper?.WriteLine($"{done.Sum()} AQICs, per vCPU {done.Min()} to {done.Max()}, {changes} changes of a guest's queues");
        Assert.InRange(done.Min(), 20, long.MaxValue);
        Assert.InRange(changes, 20, long.MaxValue);

        void Run(string name, Func<KernelTask, ValueTask> call)
        {
            KernelTask task = runtime.CreateTask(name);
            begin.SignalAndWait();
            while (!Volatile.Read(ref isOver))
                call(task).AsTask().GetAwaiter().GetResult();
        }
    }

    private static async ValueTask<VirtualHost> BootAsync(KernelTask boot)
    {
        int[] adapters = [.. Enumerable.Range(0, Guests)];
        VirtualHost host = await VirtualHost.BootAsync(boot, new MachineSetup
        {
            Configuration = new QciInfo(ApFeatures.Apsc | ApFeatures.Apxa, 255, 255, ApMask.Of(adapters), ApMask.Of(4), ApMask.Of(4)),
            Adapters = adapters.ToDictionary(id => id, _ => new AdapterType(14, AdapterType.CcaFunctions)),
            Bus = new ApBusOptions { ApMaskParameter = "0x0", ScansByTimer = false, UseInterrupts = false },
        });
        for (int g = 0; g < Guests; g++)
        {
            string uuid = $"0000000{g}-1111-4111-8111-111111111111";
            await Write("mdev_supported_types/vfio_ap-passthrough/create", uuid);
            await Write($"{uuid}/assign_domain", "4");
            await Write($"{uuid}/assign_adapter", $"{g}");
            Assert.Equal(Errno.Ok, await host.Guests.StartAsync(boot, $"g{g}", [uuid], new GuestOptions { Machine = new VirtualMachineOptions { VcpuCount = VcpusOfGuest } }));
        }
        return host;

        async ValueTask Write(string path, string text) =>
            Assert.Equal(Errno.Ok, await host.Tree.WriteAsync(boot, "/sys/devices/vfio_ap/matrix/" + path, Encoding.ASCII.GetBytes(text)));
    }

    private static async ValueTask AqicAsync(VirtualHost host, KernelTask task, int vcpu, long[] done)
    {
        AqicControl control = new(Enable: done[vcpu] % 2 == 0, Isc: 3, NotificationByte: 0x2000);
        PqapRequest request = new(PqapRegisters.ForAqic(Apqn.Of(vcpu / VcpusOfGuest, 4), control));
        await host.Guests.InterceptAsync(task, host.Guests.Find($"g{vcpu / VcpusOfGuest}")!, request, vcpu % VcpusOfGuest);
        done[vcpu]++;
    }

    private static async ValueTask ChangeAsync(VirtualHost host, KernelTask task, long number) => await host.Tree.WriteAsync(
        task, $"/sys/devices/vfio_ap/matrix/00000000-1111-4111-8111-111111111111/{(number % 2 == 0 ? "assign_control_domain" : "unassign_control_domain")}", "4"u8.ToArray());
}

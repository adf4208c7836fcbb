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

/// <summary>64 vCPUs of 8 guests, each a thread, and an administrator who changes what they have: none of them starves.</summary>
public sealed class FairnessTests
{
    private const int Guests = 8;
    private const int VcpusOfGuest = 8;

    [Fact]
    public async Task Every_vcpu_gets_its_share_of_mdevs_lock()
    {
        ProductionRuntime runtime = new(seed: 1);
        KernelTask boot = runtime.CreateTask("boot");
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
            await Write($"/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create", uuid);
            await Write($"/sys/devices/vfio_ap/matrix/{uuid}/assign_domain", "4");
            await Write($"/sys/devices/vfio_ap/matrix/{uuid}/assign_adapter", $"{g}");
            Assert.Equal(Errno.Ok, await host.Guests.StartAsync(boot, $"g{g}", [uuid], new GuestOptions { Machine = new VirtualMachineOptions { VcpuCount = VcpusOfGuest } }));
        }

        long[] done = new long[Guests * VcpusOfGuest];
        long changes = 0;
        using Barrier begin = new(done.Length + 1);
        bool isOver = false;
        List<Thread> threads = [.. Enumerable.Range(0, done.Length).Select(i => new Thread(() => RunVcpu(i)))];
        threads.Add(new Thread(RunAdministrator));
        threads.ForEach(thread => thread.Start());
        Stopwatch clock = Stopwatch.StartNew();
        while (clock.Elapsed < TimeSpan.FromSeconds(2))
            await Task.Delay(50);
        Volatile.Write(ref isOver, true);
        threads.ForEach(thread => thread.Join());

        double mean = done.Average();
        TestContext.Current.TestOutputHelper?.WriteLine($"{done.Sum()} AQICs, per vCPU {done.Min()} to {done.Max()}, {changes} changes of a guest's queues");
        Assert.True(mean > 10 && changes > 0, $"{mean} AQICs for each vCPU, {changes} changes");
        Assert.InRange(done.Min() / mean, 0.2, 1);
        Assert.InRange(done.Max() / mean, 1, 5);

        void RunVcpu(int i)
        {
            GuestProcess guest = host.Guests.Find($"g{i / VcpusOfGuest}")!;
            KernelTask task = runtime.CreateTask($"vcpu {i}");
            begin.SignalAndWait();
            while (!Volatile.Read(ref isOver))
            {
                AqicControl control = new(Enable: done[i] % 2 == 0, Isc: 3, NotificationByte: 0x2000);
                PqapRequest request = new(PqapRegisters.ForAqic(Apqn.Of(i / VcpusOfGuest, 4), control));
                Wait(host.Guests.InterceptAsync(task, guest, request, i % VcpusOfGuest));
                done[i]++;
            }
        }

        void RunAdministrator()
        {
            KernelTask task = runtime.CreateTask("administrator");
            begin.SignalAndWait();
            while (!Volatile.Read(ref isOver))
            {
                string file = changes % 2 == 0 ? "assign_control_domain" : "unassign_control_domain";
                Wait(host.Tree.WriteAsync(task, $"/sys/devices/vfio_ap/matrix/00000000-1111-4111-8111-111111111111/{file}", "4"u8.ToArray()));
                changes++;
            }
        }

        static void Wait<T>(ValueTask<T> call) => call.AsTask().GetAwaiter().GetResult();

        async Task Write(string path, string text) => Assert.Equal(Errno.Ok, await host.Tree.WriteAsync(boot, path, Encoding.ASCII.GetBytes(text)));
    }
}

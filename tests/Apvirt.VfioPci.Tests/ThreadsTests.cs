using System.Globalization;
using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.VfioPci.Tests;

/// <summary>What no lock guards, on real threads: who comes at once does not undo what another does.</summary>
public sealed class ThreadsTests
{
    private const int Ids = 400;
    private const int Callers = 3;
    private const int Rounds = 5_000;
    private const string Vgpus = $"/sys/bus/pci/devices/{PciHost.Gpu}/mdev_supported_types/i915-GVTg_V5_4/create";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly ProductionRuntime _runtime = new(1);
    private readonly KernelTask _task;

    public ThreadsTests() => _task = _runtime.CreateTask("test");

    [Fact]
    public async Task A_driver_is_told_of_a_function_once_and_forgets_it_once()
    {
        VirtualHost host = await BootAsync();
        Assert.Equal(Ids, await CountAtOnceAsync(host, (_, i) => ("/sys/bus/pci/drivers/vfio-pci/new_id", Id(i)), Errno.EEXIST));
        Assert.Equal(Ids, await CountAtOnceAsync(host, (_, i) => ("/sys/bus/pci/drivers/vfio-pci/remove_id", Id(i)), Errno.ENODEV));

        static string Id(int i) => string.Create(CultureInfo.InvariantCulture, $"1af4 {i:x4}");
    }

    [Fact]
    public async Task Each_of_several_vgpus_that_come_and_go_at_once_is_among_those_there_are()
    {
        VirtualHost host = await BootAsync();
        for (int round = 0; round < Rounds; round++)
        {
            await CountAtOnceAsync(host, (caller, _) => (Vgpus, Uuid(caller)), Errno.Ok, count: 1);
            Assert.Equal(Callers, host.Pci.Vgpus.Count);
            Assert.All(host.Pci.Vgpus, mdev => Assert.NotNull(mdev.Vgpu));
            await CountAtOnceAsync(host, (caller, _) => ($"/sys/bus/mdev/devices/{Uuid(caller)}/remove", "1"), Errno.Ok, count: 1);
            Assert.Empty(host.Pci.Vgpus);
        }

        static string Uuid(int caller) => $"6e5ae7a4-9ee2-4d1e-8b12-7f2f9d3c000{caller}";
    }

    private ValueTask<VirtualHost> BootAsync() => VirtualHost.BootAsync(_task, new MachineSetup
    {
        Configuration = new QciInfo(ApFeatures.Apsc | ApFeatures.Apxa, 255, 255, ApMask.None, ApMask.None, ApMask.None),
        Adapters = new Dictionary<int, AdapterType>(),
        Bus = new ApBusOptions { ApMaskParameter = "0x0", ScansByTimer = false, UseInterrupts = false },
        PciFunctions = PciHost.Usual,
    });

    // Each caller writes all; counts what is done. Whoever comes too late may be answered by an error.
    private async ValueTask<int> CountAtOnceAsync(VirtualHost host, Func<int, int, (string Path, string Text)> write, Errno late, int count = Ids)
    {
        int done = 0;
        SpawnedTask[] callers = [.. Enumerable.Range(0, Callers).Select(caller => _runtime.Spawn($"caller {caller}", async task =>
        {
            for (int i = 0; i < count; i++)
            {
                (string path, string text) = write(caller, i);
                Errno error = await host.Tree.WriteAsync(task, path, Encoding.ASCII.GetBytes(text));
                if (error == Errno.Ok)
                    Interlocked.Increment(ref done);
                else
                    Assert.Equal(late, error);
            }
        }))];
        foreach (SpawnedTask caller in callers)
            await caller.JoinAsync(_task).AsTask().WaitAsync(Patience);
        return done;
    }
}

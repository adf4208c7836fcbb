using Apvirt.Host.Machines;
using Apvirt.Kernel.Runtime;
using BenchmarkDotNet.Attributes;

namespace Apvirt.Bench;

/// <summary>Bringing up hosts. The memory that a host keeps is what <see cref="MemoryReport"/> prints.</summary>
public class HostBenchmarks
{
    [Benchmark(Description = "boot 65,536 queues")]
    public VirtualHost BootLarge() => Boot(256);

    [Benchmark(Description = "boot 1,000 hosts of 6x6")]
    public List<VirtualHost> BootFleet()
    {
        List<VirtualHost> fleet = new(1000);
        for (int i = 0; i < 1000; i++)
            fleet.Add(Boot(6));
        return fleet;
    }

    internal static VirtualHost Boot(int size)
    {
        SimulationRuntime runtime = new();
        return runtime.Drive(VirtualHost.BootAsync(runtime.CreateTask("boot"), MatrixMachine.Setup(size)));
    }
}

using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using BenchmarkDotNet.Attributes;

namespace Apvirt.Bench;

/// <summary>An uncontended acquire and release.</summary>
public class LockBenchmarks
{
    private static readonly LockClass Class = new("bench", LockKind.Mutex);

    private readonly KernelMutex _mutex = new(Class);
    private KernelTask _task = null!;

    /// <summary>The runtime.</summary>
    [Params("simulation", "production")]
    public string Runtime { get; set; } = "";

    /// <summary>Whether the lock validator looks on.</summary>
    [Params(false, true)]
    public bool Checks { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        KernelChecks? checks = Checks ? new KernelChecks() : null;
        KernelRuntime runtime = Runtime == "simulation"
            ? new SimulationRuntime { Checks = checks }
            : new ProductionRuntime(seed: 1) { Checks = checks };
        _task = runtime.CreateTask("bench");
    }

    [Benchmark(Description = "lock + unlock")]
    public void LockUnlock()
    {
        if (!_mutex.LockAsync(_task).IsCompletedSuccessfully)
            throw new InvalidOperationException("the lock was contended");
        _mutex.Unlock(_task);
    }
}

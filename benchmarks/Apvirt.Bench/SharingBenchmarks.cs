using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using BenchmarkDotNet.Attributes;

namespace Apvirt.Bench;

/// <summary>
/// Reading fields that tasks share while nobody watches, beside plain fields. A result is one read of those of many objects,
/// so that no read can be taken out of the loop: what a form of shared state costs is the difference to the plain field.
/// </summary>
public class SharingBenchmarks
{
    // As many as fit into the first cache.
    private const int Reads = 256;

    private static readonly LockClass Class = new("bench", LockKind.Mutex);
    private static readonly SharedField SharedRule = new("bench.shared", "It is only read.");
    private static readonly GuardRule<Fields> GuardedRule = new("bench.guarded", write: [new(Class, fields => fields.Lock)]);

    private readonly Fields[] _fields = [.. Enumerable.Range(0, Reads).Select(i => new Fields(i))];
    private KernelRuntime _runtime = null!;
    private KernelTask _task = null!;

    /// <summary>The runtime.</summary>
    [Params("simulation", "production")]
    public string Runtime { get; set; } = "";

    [GlobalSetup]
    public void Setup()
    {
        _runtime = Runtime == "simulation" ? new SimulationRuntime() : new ProductionRuntime(seed: 1);
        _task = _runtime.CreateTask("bench");
    }

    [Benchmark(Description = "read a plain field", OperationsPerInvoke = Reads)]
    public int Plain()
    {
        int sum = 0;
        foreach (Fields fields in _fields)
            sum += fields.Plain;
        return sum;
    }

    [Benchmark(Description = "read a Shared<int>", OperationsPerInvoke = Reads)]
    public int Shared()
    {
        int sum = 0;
        foreach (Fields fields in _fields)
            sum += fields.Shared.Read(_runtime, fields, SharedRule);
        return sum;
    }

    [Benchmark(Description = "read a Guarded<int>", OperationsPerInvoke = Reads)]
    public int Guarded()
    {
        int sum = 0;
        foreach (Fields fields in _fields)
            sum += fields.Guarded.Read(_task, fields, GuardedRule);
        return sum;
    }

    private sealed class Fields(int value)
    {
        public readonly KernelMutex Lock = new(Class);
        public int Plain = value;
        public Shared<int> Shared = new(value);
        public Guarded<int> Guarded = new(value);
    }
}

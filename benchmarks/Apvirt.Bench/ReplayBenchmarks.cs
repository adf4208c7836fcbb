using Apvirt.Host.Checks;
using Apvirt.Host.Traces;
using Apvirt.Kernel.Checking;
using BenchmarkDotNet.Attributes;

namespace Apvirt.Bench;

/// <summary>Replaying all recorded traces: parsing, booting 92 hosts, running and comparing; one thread.</summary>
public class ReplayBenchmarks
{
    /// <summary>Operations in all traces together.</summary>
    public const int OperationCount = 44_822;

    private readonly List<(string Name, byte[] Text)> _traces = [];

    /// <summary>Whether everything is checked: lock orders, guards, lifetimes, invariants.</summary>
    [Params(false, true)]
    public bool Checks { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        string folder = Path.Combine(Checkout.Root, "tests", "conformance", "traces");
        foreach (string file in Directory.GetFiles(folder, "*.jsonl").Order(StringComparer.Ordinal))
            _traces.Add((Path.GetFileName(file), File.ReadAllBytes(file)));
    }

    [Benchmark(Description = "one trace operation", OperationsPerInvoke = OperationCount)]
    public int ReplayAll()
    {
        int operations = 0;
        KernelChecks? checks = Checks ? new KernelChecks(LockOrder.Declared) : null;
        foreach ((string name, byte[] text) in _traces)
        {
            TraceReplayResult result = TraceReplay.Run(name, text, checks: checks);
            if (result.Error is not null || result.Differences.Count > 0)
                throw new InvalidOperationException($"{name} does not replay");
            operations += result.OperationCount;
        }
        return operations == OperationCount ? operations : throw new InvalidOperationException($"{operations} operations");
    }
}

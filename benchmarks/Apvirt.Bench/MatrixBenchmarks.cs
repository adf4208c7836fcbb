using System.Text;
using Apvirt.Devices.Core;
using Apvirt.Kernel;
using BenchmarkDotNet.Attributes;

namespace Apvirt.Bench;

/// <summary>The pairs of operations of BENCH.md: n x n of a host of n x n queues, all bound, everything plugged into a running guest.</summary>
public class MatrixBenchmarks
{
    private static readonly byte[] NoMatrix = Encoding.ASCII.GetBytes(",,");

    private MatrixMachine _machine = null!;
    private byte[] _matrix = [];
    private Driver _driver = null!;

    /// <summary>Adapters and domains.</summary>
    [Params(1, 16, 85, 256)]
    public int N { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _machine = new MatrixMachine(N, N);
        _matrix = Encoding.ASCII.GetBytes(_machine.Matrix);
        _driver = _machine.VfioApDriver;
    }

    [GlobalCleanup]
    public void Check() => _machine.AssertPlugged(N);

    [Benchmark(Description = "unassign + assign adapter")]
    public void UnassignAssignAdapter()
    {
        _machine.Require(_machine.Mdev.UnassignAdapterAsync(_machine.Task, _machine.LastId));
        _machine.Require(_machine.Mdev.AssignAdapterAsync(_machine.Task, _machine.LastId));
    }

    [Benchmark(Description = "remove + probe queue")]
    public void RemoveProbeQueue()
    {
        ValueTask remove = _driver.RemoveAsync(_machine.Task, _machine.LastQueue);
        if (!remove.IsCompletedSuccessfully)
            _machine.Runtime.Drive(remove);
        _machine.Require(_driver.ProbeAsync(_machine.Task, _machine.LastQueue));
    }

    [Benchmark(Description = "unbind + bind queue")]
    public void UnbindBindQueue()
    {
        _machine.Require(_machine.Host.ApBus.UnbindAsync(_machine.Task, _driver, _machine.LastQueue));
        _machine.Require(_machine.Host.ApBus.BindAsync(_machine.Task, _driver, _machine.LastQueue));
    }

    [Benchmark(Description = "detach + attach")]
    public void DetachAttach()
    {
        ValueTask detach = _machine.Mdev.CloseDeviceAsync(_machine.Task);
        if (!detach.IsCompletedSuccessfully)
            _machine.Runtime.Drive(detach);
        _machine.Require(_machine.Mdev.OpenDeviceAsync(_machine.Task));
    }

    [Benchmark(Description = "ap_config clear + set")]
    public void ConfigClearSet()
    {
        _machine.Require(_machine.Mdev.StoreConfigAsync(_machine.Task, NoMatrix));
        _machine.Require(_machine.Mdev.StoreConfigAsync(_machine.Task, _matrix));
    }
}

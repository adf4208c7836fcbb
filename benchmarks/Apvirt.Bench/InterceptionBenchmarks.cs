using Apvirt.Ap.Architecture;
using Apvirt.Host.Guests;
using Apvirt.Kvm.Interception;
using BenchmarkDotNet.Attributes;

namespace Apvirt.Bench;

/// <summary>A guest arms a queue and disarms it: two intercepted PQAP(AQIC), the page pinned and unpinned.</summary>
public class InterceptionBenchmarks
{
    private MatrixMachine _machine = null!;
    private GuestProcess _guest = null!;

    [GlobalSetup]
    public void Setup()
    {
        _machine = new MatrixMachine(1, 1);
        _guest = _machine.Host.Guests.Find("g")!;
    }

    [Benchmark(Description = "PQAP(AQIC) enable + disable")]
    public void EnableDisable()
    {
        Run(enable: true);
        Run(enable: false);
    }

    private void Run(bool enable)
    {
        PqapRequest request = new(PqapRegisters.ForAqic(Apqn.Of(0, 0), new AqicControl(enable, Isc: 3, NotificationByte: 0x3000)));
        PqapAnswer answer = _machine.Runtime.Drive(_machine.Host.Guests.InterceptAsync(_machine.Task, _guest, request))!.Value;
        if (answer.ConditionCode != 0)
            throw new InvalidOperationException($"AQIC ended with condition code {answer.ConditionCode}");
    }
}

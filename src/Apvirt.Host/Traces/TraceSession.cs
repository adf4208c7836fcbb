using Apvirt.Devices.Sysfs;
using Apvirt.Host.Machines;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Host.Traces;

/// <summary>
/// A host in virtual time on which operations run one after another, each complete before the next. One that still sleeps
/// when nothing moves any more is answered <c>blocked</c> and goes on by itself when it can.
/// </summary>
public sealed class TraceSession
{
    // Longer than any chain of retries that ends, shorter than waiting for nothing makes sense.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    // Work that an operation set off, such as a removal that was waiting for a guest, retries within this time.
    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(5);

    private readonly SimulationRuntime _runtime;
    private readonly SysfsText _page = new();
    private KernelTask _task;

    /// <summary>Boots a host.</summary>
    /// <param name="setup">What it is made of.</param>
    /// <param name="checks">What is checked meanwhile; null if nothing is.</param>
    public TraceSession(MachineSetup setup, KernelChecks? checks = null)
    {
        _runtime = new SimulationRuntime { Checks = checks };
        _task = _runtime.CreateTask("trace");
        Host = _runtime.Drive(VirtualHost.BootAsync(_task, setup));
    }

    /// <summary>The host.</summary>
    public VirtualHost Host { get; }

    /// <summary>Runs one operation.</summary>
    /// <param name="line">The operation.</param>
    /// <returns>Its answer; texts in it are good until the next operation.</returns>
    public Answer Run(TraceLine line)
    {
        _runtime.SetHorizon(Patience);
        long? writes = line.Operation!.Name == "write" ? Host.Checks?.Writes : null;
        ValueTask<Answer> running = OperationRunner.RunAsync(Host, _task, line, _page);
        bool hasEnded = _runtime.TryDrive(running, Patience, out Answer? answer);
        _runtime.Settle(Rest);
        if (hasEnded)
        {
            Host.Checks?.Ended(_task, answer!.Error, writes);
            return answer!;
        }
        _task = _runtime.CreateTask("trace");
        return Answer.Blocked;
    }
}

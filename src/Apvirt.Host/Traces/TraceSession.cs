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
    // Patience is longer than any chain of retries that ends, shorter than waiting for nothing makes sense. Work that an operation set off, such as a removal that was waiting for a guest, retries within this time.
    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(5);

    private readonly ITraceFiles? _files;
    private readonly SysfsText _page = new();
    private KernelTask _task;

    /// <summary>Boots a host.</summary>
    /// <param name="setup">What it is made of.</param>
    /// <param name="checks">What is checked meanwhile; null if nothing is.</param>
    /// <param name="files">Makes another way to the host's files; they are read and written in its tree if null.</param>
    public TraceSession(MachineSetup setup, KernelChecks? checks = null, Func<TraceSession, ITraceFiles>? files = null)
    {
        Runtime = new SimulationRuntime { Checks = checks };
        _task = Runtime.CreateTask("trace");
        Host = Runtime.Drive(VirtualHost.BootAsync(_task, setup));
        _files = files?.Invoke(this);
    }

    /// <summary>How far virtual time moves until an operation that has not ended counts as blocked.</summary>
    public static TimeSpan Patience { get; } = TimeSpan.FromSeconds(60);

    /// <summary>The runtime of the host.</summary>
    public SimulationRuntime Runtime { get; }

    /// <summary>The host.</summary>
    public VirtualHost Host { get; }

    /// <summary>Runs one operation.</summary>
    /// <param name="line">The operation.</param>
    /// <returns>Its answer; texts in it are good until the next operation.</returns>
    public Answer Run(TraceLine line)
    {
        Runtime.SetHorizon(Patience);
        long? writes = line.ChangesNothingOnError ? Host.Checks?.Writes : null;
        if (_files is not null && RunOutside(line) is { } outside)
            return outside;
        ValueTask<Answer> running = OperationRunner.RunAsync(Host, _task, line, _page);
        bool hasEnded = Runtime.TryDrive(running, Patience, out Answer? answer);
        Runtime.Settle(Rest);
        if (hasEnded)
        {
            Host.Checks?.Ended(_task, answer!.Error, writes);
            return answer!;
        }
        _task = Runtime.CreateTask("trace");
        return Answer.Blocked;
    }

    private Answer? RunOutside(TraceLine line)
    {
        Answer? answer = line.Operation!.Name switch
        {
            "read" => _files!.Read(line.Fields.Text("path")),
            "write" => _files!.Write(line.Fields.Text("path"), line.Fields.Bytes("data").ToArray()),
            _ => null,
        };
        if (answer is not null)
            Runtime.Settle(Rest);
        return answer;
    }
}

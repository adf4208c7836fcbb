using System.Text;
using Apvirt.Devices.Sysfs;
using Apvirt.Host.Description;
using Apvirt.Host.Machines;
using Apvirt.Host.Traces;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Sysfs.Fuse.Serving;

namespace Apvirt.Cli.Prompt;

/// <summary>A host that runs in real time on the thread pool, and the operations that somebody types.</summary>
internal sealed class LiveHost
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly ProductionRuntime _runtime;
    private readonly List<string> _log = [];
    private readonly StreamWriter? _recording;

    private LiveHost(HostSource source, StreamWriter? recording, KernelChecks? checks)
    {
        _runtime = new ProductionRuntime(seed: 1) { Checks = checks };
        Source = source;
        _recording = recording;
        KernelTask task = _runtime.CreateTask("boot");
        Host = Wait(VirtualHost.BootAsync(task, source.Setup, model => model.Log.Read(Remember)));
        Failures = source.Description is null ? [] : Wait(DescribedHost.PopulateAsync(task, Host, source.Description));
    }

    internal HostSource Source { get; }

    internal VirtualHost Host { get; }

    /// <summary>How calls of other programs enter the host.</summary>
    internal IKernelEntry KernelEntry => new DirectEntry(_runtime);

    /// <summary>What of the description could not be done.</summary>
    internal IReadOnlyList<string> Failures { get; }

    internal static LiveHost Boot(HostSource source, StreamWriter? recording, KernelChecks? checks = null) => new(source, recording, checks);

    /// <summary>Runs one operation; null means that it still sleeps and goes on in the background.</summary>
    internal Answer? Run(TraceLine line, out IReadOnlyList<string> log)
    {
        lock (_log)
            _log.Clear();
        Task<Answer> running = OperationRunner.RunAsync(Host, _runtime.CreateTask("prompt"), line, new SysfsText()).AsTask();
        bool hasEnded = running.Wait(Patience);
        lock (_log)
            log = [.. _log];
        Answer? answer = hasEnded ? running.GetAwaiter().GetResult() : null;
        if (hasEnded && Host.Checks is { } checks && !Host.ApBus.IsScanning)
            checks.LookAtRestAsync(_runtime.CreateTask("checks")).AsTask().GetAwaiter().GetResult();
        _recording?.WriteLine(TraceWriter.Format(line, answer ?? Answer.Blocked));
        _recording?.Flush();
        return answer;
    }

    /// <summary>Lets something run on the host and waits for it.</summary>
    internal T Run<T>(Func<KernelTask, ValueTask<T>> operation) => Wait(operation(_runtime.CreateTask("prompt")));

    internal static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text);

    // The thread that prompts is no thread of the kernel's, so it may block.
    private static T Wait<T>(ValueTask<T> operation) => operation.AsTask().GetAwaiter().GetResult();

    private void Remember(LogLine line)
    {
        lock (_log)
            _log.Add($"{line.Source}: {line.Message}");
    }
}

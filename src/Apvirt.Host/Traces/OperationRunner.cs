using System.Text;
using Apvirt.Devices.Sysfs;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Host.Traces;

/// <summary>Runs operations on any host, in whatever time it lives.</summary>
public static class OperationRunner
{
    /// <summary>Runs one operation.</summary>
    /// <param name="host">The host.</param>
    /// <param name="task">On whose behalf.</param>
    /// <param name="line">The operation.</param>
    /// <param name="page">A page to show attributes on; texts of the answer are on it.</param>
    public static ValueTask<Answer> RunAsync(VirtualHost host, KernelTask task, TraceLine line, SysfsText page) =>
        line.Operation!.Run(new OperationContext(host, task, line.Fields, page));

    /// <summary>Runs one operation and says how it ended.</summary>
    /// <param name="host">The host.</param>
    /// <param name="task">On whose behalf; it returns to user space.</param>
    /// <param name="line">The operation.</param>
    /// <returns>The line with its answer, as a trace has it, and the error.</returns>
    public static async ValueTask<(string Line, Errno Error)> RunAsync(VirtualHost host, KernelTask task, TraceLine line)
    {
        Answer answer = await RunAsync(host, task, line, new SysfsText());
        task.ReturnToUser();
        return (TraceWriter.Format(line, answer), answer.Error);
    }

    /// <summary>Reads an operation that was checked before.</summary>
    /// <param name="operation">The operation as a line of a trace.</param>
    /// <exception cref="ArgumentException">It was not.</exception>
    public static TraceLine Parse(string operation) =>
        TraceReader.ReadSingle(Encoding.UTF8.GetBytes(operation), out TraceLine? line) is { } error
            ? throw new ArgumentException(error.ToString(), nameof(operation))
            : line!;
}

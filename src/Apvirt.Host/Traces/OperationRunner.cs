using Apvirt.Devices.Sysfs;
using Apvirt.Host.Machines;
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
}

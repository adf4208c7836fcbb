using Apvirt.Kernel.Runtime;

namespace Apvirt.Sysfs.Fuse.Serving;

/// <summary>How calls of user space enter the kernel layers.</summary>
public interface IKernelEntry
{
    /// <summary>The runtime in which the calls run.</summary>
    KernelRuntime Runtime { get; }

    /// <summary>Runs a call, now or later, where tasks of the runtime may run.</summary>
    /// <param name="call">The call; it does not throw.</param>
    void Enter(IThreadPoolWorkItem call);
}

/// <summary>Calls run at once, on the thread that received them.</summary>
/// <param name="runtime">A runtime for many threads.</param>
public sealed class DirectEntry(ProductionRuntime runtime) : IKernelEntry
{
    /// <inheritdoc/>
    public KernelRuntime Runtime { get; } = runtime;

    /// <inheritdoc/>
    public void Enter(IThreadPoolWorkItem call) => call.Execute();
}

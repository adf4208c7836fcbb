using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Vfio.Devices;

/// <summary>An eventfd as a driver signals it; user space says what it does then.</summary>
public sealed class Eventfd
{
    private readonly KernelRuntime _runtime;
    private readonly string _name;
    private readonly Action? _signalled;
    private Shared<long> _count;

    /// <summary>Makes an eventfd.</summary>
    /// <param name="runtime">The runtime of those who use it.</param>
    /// <param name="name">Name for reports.</param>
    /// <param name="signalled">What user space does when it is signalled; must not block.</param>
    public Eventfd(KernelRuntime runtime, string name, Action? signalled = null)
    {
        _runtime = runtime;
        _name = name;
        _signalled = signalled;
    }

    /// <summary>How often it was signalled.</summary>
    public long Count => _count.Read(_runtime, this, VfioFields.Signals);

    /// <summary>Signals it.</summary>
    public void Signal()
    {
        _count.Update(_runtime, this, VfioFields.Signals, with: 1, static (count, more) => count + more);
        _signalled?.Invoke();
    }

    /// <inheritdoc/>
    public override string ToString() => _name;
}

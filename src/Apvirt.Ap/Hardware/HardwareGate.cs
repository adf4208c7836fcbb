using System.Runtime.CompilerServices;
using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Ap.Hardware;

/// <summary>A gate that costs nothing when all callers share one thread. Who explores is told of what is behind it.</summary>
internal sealed class HardwareGate(KernelRuntime runtime)
{
    private readonly Lock _lock = new();
    private readonly bool _isSerial = runtime.IsSerial;
    private readonly bool _isExplored = runtime.HasPoints;

    /// <summary>Enters to look, on nobody's behalf.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal Section Enter()
    {
        if (!_isSerial)
            _lock.Enter();
        return new Section(_isSerial ? null : _lock);
    }

    /// <summary>Enters to use or change what all queues share.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal Section Enter(bool isWrite)
    {
        if (_isExplored)
            runtime.Touched("hardware", isWrite);
        return Enter();
    }

    /// <summary>Enters to use or change one queue.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal Section Enter(Apqn apqn, bool isWrite)
    {
        if (_isExplored)
            runtime.Touched([("hardware", false), ($"hardware of {apqn}", isWrite)]);
        return Enter();
    }

    internal readonly ref struct Section(Lock? held)
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Dispose() => held?.Exit();
    }
}

using System.Runtime.CompilerServices;

namespace Apvirt.Ap.Hardware;

/// <summary>A gate that costs nothing when all callers share one thread.</summary>
internal sealed class HardwareGate(bool isSerial)
{
    private readonly Lock _lock = new();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal Section Enter()
    {
        if (!isSerial)
            _lock.Enter();
        return new Section(isSerial ? null : _lock);
    }

    internal readonly ref struct Section(Lock? held)
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Dispose() => held?.Exit();
    }
}

namespace Apvirt.Vfio.Devices;

/// <summary>An eventfd as a driver signals it; user space says what it does then.</summary>
public sealed class Eventfd
{
    private readonly Action? _signalled;
    private long _count;

    /// <summary>Makes an eventfd.</summary>
    /// <param name="signalled">What user space does when it is signalled; must not block.</param>
    public Eventfd(Action? signalled = null) => _signalled = signalled;

    /// <summary>How often it was signalled.</summary>
    public long Count => Interlocked.Read(ref _count);

    /// <summary>Signals it.</summary>
    public void Signal()
    {
        Interlocked.Increment(ref _count);
        _signalled?.Invoke();
    }
}

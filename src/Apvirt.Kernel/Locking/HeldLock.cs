namespace Apvirt.Kernel.Locking;

/// <summary>In which mode a task holds a lock.</summary>
public enum LockMode
{
    /// <summary>Exclusive: a mutex, a spin lock, or a reader/writer lock in write mode.</summary>
    Write,
    /// <summary>Shared: a reader/writer lock in read mode, or an active reference.</summary>
    Read,
}

/// <summary>One entry of a task's held-lock stack.</summary>
/// <param name="Lock">The lock.</param>
/// <param name="Mode">How it is held.</param>
public readonly record struct HeldLock(KernelLock Lock, LockMode Mode)
{
    /// <inheritdoc/>
    public override string ToString() => Mode == LockMode.Read ? $"{Lock.Class.Name}(R)" : Lock.Class.Name;
}

/// <summary>What every lock has: a class and, for reports, the name of the object it belongs to.</summary>
public abstract class KernelLock
{
    /// <summary>Makes a lock of a class.</summary>
    /// <param name="lockClass">Its class.</param>
    protected KernelLock(LockClass lockClass) => Class = lockClass;

    /// <summary>The class that orders and rules are stated for.</summary>
    public LockClass Class { get; }

    /// <inheritdoc/>
    public override string ToString() => Class.Name;
}

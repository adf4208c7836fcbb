namespace Apvirt.Kernel.Locking;

/// <summary>In which mode a task holds a lock.</summary>
public enum LockMode
{
    /// <summary>Exclusive: a mutex, a spin lock, or a reader/writer lock in write mode.</summary>
    Write,
    /// <summary>Shared: a reader/writer lock in read mode; a reader waits behind a waiting writer.</summary>
    Read,
    /// <summary>Shared, and never behind a waiting writer, so that a task may read again what it reads already.</summary>
    RecursiveRead,
}

/// <summary>One entry of a task's held-lock stack.</summary>
/// <param name="Lock">The lock.</param>
/// <param name="Mode">How it is held.</param>
public readonly record struct HeldLock(KernelLock Lock, LockMode Mode)
{
    /// <inheritdoc/>
    public override string ToString() => Lock.Class.Name + Mode.Suffix();
}

/// <summary>How modes are written in reports.</summary>
public static class LockModeText
{
    /// <summary>What stands behind the name of a lock: nothing, <c>(r)</c> or <c>(R)</c> as in reference/lockdep.md.</summary>
    /// <param name="mode">The mode.</param>
    public static string Suffix(this LockMode mode) => mode switch
    {
        LockMode.Write => "",
        LockMode.Read => "(r)",
        LockMode.RecursiveRead => "(R)",
        _ => throw new ArgumentOutOfRangeException(nameof(mode), mode, message: null),
    };

    /// <summary>Whether a hold satisfies a demand: exclusive satisfies every one, shared only shared ones.</summary>
    /// <param name="held">How a lock is held.</param>
    /// <param name="demanded">How it must be held.</param>
    internal static bool Satisfies(this LockMode held, LockMode demanded) => held == LockMode.Write || demanded != LockMode.Write;
}

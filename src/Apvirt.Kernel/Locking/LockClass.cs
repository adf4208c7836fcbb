using System.Runtime.CompilerServices;

namespace Apvirt.Kernel.Locking;

/// <summary>What kind of lock a class describes; the kinds of locking.md §1.</summary>
public enum LockKind
{
    /// <summary>A sleeping mutual-exclusion lock.</summary>
    Mutex,
    /// <summary>A sleeping reader/writer lock.</summary>
    RwSemaphore,
    /// <summary>A lock that never sleeps; its sections contain no await.</summary>
    Spin,
    /// <summary>References held by running file operations; a deletion waits for all of them (kn_active).</summary>
    ActiveReference,
}

/// <summary>
/// The class that a lock belongs to: orders and rules are stated for classes, not for instances (locking.md §1).
/// Immutable, so it may be static; the canonical name is the one that reports print.
/// </summary>
public sealed class LockClass
{
    /// <summary>Declares a class at the place of the call.</summary>
    /// <param name="name">Canonical name, for example <c>kvm->lock</c> (M035).</param>
    /// <param name="kind">The kind of lock.</param>
    /// <param name="file">Declaring file; filled in by the compiler.</param>
    /// <param name="line">Declaring line; filled in by the compiler.</param>
    public LockClass(string name, LockKind kind, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        Name = name;
        Kind = kind;
        Site = $"{Path.GetFileName(file)}:{line}";
    }

    /// <summary>Canonical name.</summary>
    public string Name { get; }

    /// <summary>Kind of lock.</summary>
    public LockKind Kind { get; }

    /// <summary>Where the class was declared, as <c>file:line</c>.</summary>
    public string Site { get; }

    /// <inheritdoc/>
    public override string ToString() => Name;
}

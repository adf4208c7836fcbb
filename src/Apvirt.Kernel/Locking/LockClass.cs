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
    /// <summary>No lock: something that tasks wait for and other tasks owe them, a completion or a work item.</summary>
    Wait,
}

/// <summary>Whether two locks of one class may be held by one task.</summary>
public enum LockNesting
{
    /// <summary>Never.</summary>
    None,
    /// <summary>In ascending order of <see cref="KernelLock.Order"/>.</summary>
    Ascending,
}

/// <summary>
/// The class that a lock belongs to: orders and rules are stated for classes, not for instances (locking.md §1).
/// Immutable, so it may be static; the canonical name is the one that reports print, and names are unique.
/// </summary>
public sealed class LockClass
{
    private const ulong HashBasis = 0xcbf29ce484222325;
    private const ulong HashPrime = 0x100000001b3;

    /// <summary>Declares a class at the place of the call.</summary>
    /// <param name="name">Canonical name, for example <c>kvm->lock</c> (M035).</param>
    /// <param name="kind">The kind of lock.</param>
    /// <param name="nesting">Whether two of the class may be held at once.</param>
    /// <param name="file">Declaring file; filled in by the compiler.</param>
    /// <param name="line">Declaring line; filled in by the compiler.</param>
    public LockClass(
        string name, LockKind kind, LockNesting nesting = LockNesting.None, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        Name = name;
        Kind = kind;
        Nesting = nesting;
        Site = new LockSite(file, line).ToString();
        ulong hash = HashBasis;
        foreach (char letter in name)
            hash = (hash ^ letter) * HashPrime;
        Hash = hash;
    }

    /// <summary>Canonical name.</summary>
    public string Name { get; }

    /// <summary>Kind of lock.</summary>
    public LockKind Kind { get; }

    /// <summary>Whether two of the class may be held at once.</summary>
    public LockNesting Nesting { get; }

    /// <summary>Where the class was declared, as <c>file:line</c>.</summary>
    public string Site { get; }

    /// <summary>A number made from the name, the same in every process; keys of lock chains are made from it.</summary>
    internal ulong Hash { get; }

    /// <inheritdoc/>
    public override string ToString() => Name;
}

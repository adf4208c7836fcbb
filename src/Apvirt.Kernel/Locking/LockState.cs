using System.Runtime.InteropServices;

namespace Apvirt.Kernel.Locking;

/// <summary>
/// The rule of mutexes and reader/writer locks, stated once: given who holds a lock and who has asked for it, what may be
/// granted and what must be refused (DESIGN R2, locking.md §1). Production, which picks whoever came first, simulation, which
/// draws, and exploration, which tries every choice that is permitted, all go by it, and so do programs of locks.
/// </summary>
/// <remarks>
/// A mutex is a lock that nobody shares. It makes no promise of order: whoever asks while it is free may get it. A writer that
/// has asked keeps out all who come to share until it has had the lock; readers that hold it already are not disturbed.
/// </remarks>
/// <param name="Holders"><see cref="Written"/> if one task holds it exclusively, else how many share it.</param>
/// <param name="Askers">How many tasks have asked for it exclusively and wait.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct LockState(int Holders, int Askers)
{
    /// <summary>Holders of a lock that one task holds exclusively.</summary>
    public const int Written = -1;

    /// <summary>Nobody holds it, nobody has asked.</summary>
    public static LockState Free => default;

    /// <summary>Whether anybody holds it.</summary>
    public bool IsHeld => Holders != 0;

    /// <summary>Whether it may be granted to a task that waits for it, or comes to it.</summary>
    /// <param name="mode">How it is wanted.</param>
    public bool MayGrant(LockMode mode) => mode switch
    {
        LockMode.Write => Holders == 0,
        LockMode.Read => Holders >= 0 && Askers == 0,
        // Who reads already may read again, whoever waits.
        _ => Holders >= 0,
    };

    /// <summary>Whether a task that does not wait gets it: not while somebody else has asked.</summary>
    /// <param name="mode">How it is wanted.</param>
    public bool MayTry(LockMode mode) => MayGrant(mode) && (Askers == 0 || mode == LockMode.RecursiveRead);

    /// <summary>A task asks for it exclusively, and waits from here on.</summary>
    public LockState Asked() => this with { Askers = Askers + 1 };

    /// <summary>A task that has asked for it exclusively gives up waiting.</summary>
    public LockState Withdrawn() => this with { Askers = Askers - 1 };

    /// <summary>It is granted.</summary>
    /// <param name="mode">How.</param>
    /// <param name="hasAsked">Whether the task had asked for it exclusively.</param>
    public LockState Granted(LockMode mode, bool hasAsked = false) =>
        new(mode == LockMode.Write ? Written : Holders + 1, hasAsked ? Askers - 1 : Askers);

    /// <summary>It is released.</summary>
    /// <param name="mode">How it was held.</param>
    public LockState Released(LockMode mode) => this with { Holders = mode == LockMode.Write ? 0 : Holders - 1 };
}

namespace Apvirt.Kernel.Runtime;

/// <summary>What a task is about to do at a point, to the lock or completion that it names there.</summary>
public enum PointKind
{
    /// <summary>Acquires exclusively.</summary>
    Lock,
    /// <summary>Acquires shared.</summary>
    LockShared,
    /// <summary>Waits for a completion.</summary>
    Wait,
    /// <summary>Completes.</summary>
    Complete,
    /// <summary>Deletes, and waits until nobody refers any more.</summary>
    Delete,
}

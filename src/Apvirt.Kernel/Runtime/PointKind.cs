namespace Apvirt.Kernel.Runtime;

/// <summary>What a task is about to do at a point, to the lock or completion that it names there.</summary>
public enum PointKind
{
    /// <summary>Acquires exclusively.</summary>
    Lock,
    /// <summary>Acquires shared.</summary>
    LockShared,
    /// <summary>Acquires exclusively, or finds that it cannot.</summary>
    Try,
    /// <summary>Acquires shared, or finds that it cannot.</summary>
    TryShared,
    /// <summary>Releases an exclusive hold of what others try to acquire: for them it makes a difference when.</summary>
    Unlock,
    /// <summary>Refers to something, or finds that it has been deleted.</summary>
    Enter,
    /// <summary>Deletes, and waits until nobody refers any more.</summary>
    Delete,
    /// <summary>Begins another call, which is named; nothing is acquired.</summary>
    Begin,
}

namespace Apvirt.Kernel.Runtime;

/// <summary>What a task is about to do at a point, to the lock or completion that it names there.</summary>
public enum PointKind
{
    /// <summary>Acquires exclusively.</summary>
    Lock,
    /// <summary>Acquires shared.</summary>
    LockShared,
    /// <summary>Acquires shared, whoever waits to have it exclusively: for a task that may share it already.</summary>
    LockRecursive,
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
    /// <summary>Begins to wait for an exclusive hold, which keeps those out who come to share.</summary>
    Ask,
    /// <summary>Releases a shared hold.</summary>
    UnlockShared,
    /// <summary>Waits until something has happened, and takes its part of that.</summary>
    Wait,
    /// <summary>Waits as <see cref="Wait"/> does, or finds that time was up first.</summary>
    WaitFor,
    /// <summary>Looks whether a wait would go through.</summary>
    Look,
    /// <summary>Lets one wait through.</summary>
    Complete,
    /// <summary>Lets all waits through, from now on.</summary>
    CompleteAll,
    /// <summary>Takes back what was completed.</summary>
    Reset,
    /// <summary>Lets time pass.</summary>
    Sleep,
    /// <summary>Takes a spin lock.</summary>
    Spin,
}

using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Locking;

/// <summary>What every lock has: a class, a place among the locks of its class, and a life.</summary>
public abstract class KernelLock
{
    /// <summary>Makes a lock of a class.</summary>
    /// <param name="lockClass">Its class.</param>
    /// <param name="order">Its place among the locks of its class, where two of them may be held at once.</param>
    /// <param name="owner">The object that it belongs to, whose name tells it from others of its class.</param>
    protected KernelLock(LockClass lockClass, int order = 0, object? owner = null)
    {
        Class = lockClass;
        Order = order;
        Owner = owner;
    }

    /// <summary>The object that the lock belongs to; null if its class tells enough.</summary>
    public object? Owner { get; }

    /// <summary>The class that orders and rules are stated for.</summary>
    public LockClass Class { get; }

    /// <summary>Place among the locks of its class; two of them are taken in ascending order (<see cref="LockNesting.Ascending"/>).</summary>
    public int Order { get; }

    /// <summary>Whether the object that the lock belonged to is gone.</summary>
    public bool IsRetired { get; private set; }

    /// <summary>Whether anybody holds the lock now.</summary>
    public abstract bool IsHeld { get; }

    /// <summary>Ends the life of the lock, because its object ends. Checks report a lock that is still held, and every later use.</summary>
    /// <param name="task">The task that ends the object.</param>
    public void Retire(KernelTask task)
    {
        if (IsHeld)
            task.Checks?.Report(task, ViolationKind.HeldLockFreed, $"{this} is destroyed while it is held");
        IsRetired = true;
    }

    /// <summary>Begins the life of the lock anew, for an object that is used again. Checks report a lock that is held.</summary>
    /// <param name="task">The task that initialises the object.</param>
    public void Renew(KernelTask task)
    {
        if (IsHeld)
            task.Checks?.Report(task, ViolationKind.HeldLockInitialised, $"{this} is initialised while it is held");
        IsRetired = false;
    }

    /// <inheritdoc/>
    public override string ToString() => Class.Name;
}

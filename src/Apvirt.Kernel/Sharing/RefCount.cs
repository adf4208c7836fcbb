using Apvirt.Kernel.Runtime;

namespace Apvirt.Kernel.Sharing;

/// <summary>
/// A reference count (refcount_t): as long as somebody has a reference the object lives; once the count is zero nobody gets
/// one any more. Atomic on real threads, and each access announces itself.
/// </summary>
public struct RefCount
{
    private int _count;

    /// <summary>Makes a count of references that the maker has.</summary>
    /// <param name="count">How many, from 1.</param>
    public RefCount(int count) => _count = count;

    /// <summary>Takes a reference, unless the last one was given back.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="owner">The object that is counted.</param>
    /// <param name="field">What the count is.</param>
    /// <returns>Whether there is one more.</returns>
    public bool TryGet(KernelRuntime runtime, object owner, SharedField field)
    {
        if (runtime.IsTold)
            runtime.Accessed(owner, field, part: null, AccessKind.Add);
        while (true)
        {
            int now = Volatile.Read(ref _count);
            if (now <= 0)
                return false;
            if (Interlocked.CompareExchange(ref _count, now + 1, now) == now)
                return true;
        }
    }

    /// <summary>Gives a reference back.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="owner">The object that is counted.</param>
    /// <param name="field">What the count is.</param>
    /// <returns>How many are left: 0 for whoever gave the last one, who ends the object; below 0 if there was none to give back.</returns>
    public int Put(KernelRuntime runtime, object owner, SharedField field)
    {
        // Whether it is the last depends on all others who give one back, also on those who have yet to: no two of them commute.
        if (runtime.IsTold)
            runtime.Accessed(owner, field, part: null, AccessKind.Write);
        return Interlocked.Decrement(ref _count);
    }

    /// <summary>Gives the last reference back, if it is the last.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="owner">The object that is counted.</param>
    /// <param name="field">What the count is.</param>
    /// <returns>Whether it was: the count is zero now, and stays so.</returns>
    public bool TryPutLast(KernelRuntime runtime, object owner, SharedField field)
    {
        if (runtime.IsTold)
            runtime.Accessed(owner, field, part: null, AccessKind.Write);
        return Interlocked.CompareExchange(ref _count, 0, 1) == 1;
    }

    /// <summary>How many references there are.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="owner">The object that is counted.</param>
    /// <param name="field">What the count is.</param>
    public readonly int Read(KernelRuntime runtime, object owner, SharedField field)
    {
        if (runtime.IsTold)
            runtime.Accessed(owner, field, part: null, AccessKind.Read);
        int count = _count;
        Volatile.ReadBarrier();
        return count;
    }
}

using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Validation;

namespace Apvirt.Kernel.Tasks;

/// <summary>What a task does about its locks while checks are on.</summary>
public sealed partial class KernelTask
{
    private const int CountedAtOnce = 1024;

    /// <summary>Beside an entry of the held stack: where it was taken, and the key of the chain below it.</summary>
    private struct Trail
    {
        internal LockSite Site;
        internal ulong KeyBelow;
        internal bool IsTry;
        internal int Pins;
    }

    private Trail[] _trail = [];

    /// <summary>Where a lock that is held was taken, for observers; unknown if nothing is checked.</summary>
    /// <param name="held">Its place in <see cref="Held"/>.</param>
    public LockSite TakenAt(int held) => held < _trail.Length ? _trail[held].Site : default;
    private ulong _chainKey;
    private int _uncounted;

    /// <summary>
    /// A task that waits for this one and lends it its locks meanwhile: who flushes work waits under locks that guard what
    /// the work changes (locking.md §2, reset work).
    /// </summary>
    internal KernelTask? Lender { get; set; }

    /// <summary>Where the acquisition is that the task waits for.</summary>
    internal LockSite WaitingAt { get; private set; }

    /// <summary>Checks that the task holds a lock.</summary>
    /// <param name="kernelLock">The lock.</param>
    /// <param name="mode">How it must be held at least.</param>
    public void AssertHeld(KernelLock kernelLock, LockMode mode = LockMode.RecursiveRead)
    {
        if (Checks is not null && !HoldsAs(kernelLock, mode))
            Checks.Report(this, ViolationKind.Assertion, $"{kernelLock}{mode.Suffix()} is not held");
    }

    /// <summary>Checks that the task does not hold a lock.</summary>
    /// <param name="kernelLock">The lock.</param>
    public void AssertNotHeld(KernelLock kernelLock)
    {
        if (Checks is not null && Holds(kernelLock))
            Checks.Report(this, ViolationKind.Assertion, $"{kernelLock} is held");
    }

    /// <summary>Checks that the task holds no lock of a class, whichever.</summary>
    /// <param name="lockClass">The class.</param>
    public void AssertNotHeld(LockClass lockClass)
    {
        if (Checks is null)
            return;
        foreach (HeldLock held in Held)
        {
            if (held.Lock.Class == lockClass)
                Checks.Report(this, ViolationKind.Assertion, $"{lockClass} is held");
        }
    }

    /// <summary>From here on to <see cref="Unpin"/> a release of a held lock is reported: somebody relies on it.</summary>
    /// <param name="kernelLock">The lock, held by the task.</param>
    public void Pin(KernelLock kernelLock) => ChangePins(kernelLock, 1);

    /// <summary>Ends a <see cref="Pin"/>.</summary>
    /// <param name="kernelLock">The lock.</param>
    public void Unpin(KernelLock kernelLock) => ChangePins(kernelLock, -1);

    /// <summary>Ends an operation of the task: nothing may be held (invariant I28).</summary>
    public void ReturnToUser()
    {
        Returns();
        if (_heldCount == 0)
            return;
        string held = string.Join(", ", Held.ToArray());
        if (Checks is null)
            throw new InvalidOperationException($"task '{Name}' ended holding {held}");
        Checks.Report(this, ViolationKind.HeldAtReturn, $"{Name} ends holding {held}");
    }

    /// <summary>Whether the task, or who lends it locks, holds a lock at least in a mode.</summary>
    internal bool HoldsAs(KernelLock kernelLock, LockMode mode)
    {
        for (int i = _heldCount - 1; i >= 0; i--)
        {
            if (ReferenceEquals(_held[i].Lock, kernelLock) && _held[i].Mode.Satisfies(mode))
                return true;
        }
        return Lender is { } lender && lender.HoldsAs(kernelLock, mode);
    }

    /// <summary>The held locks with the places where they were taken.</summary>
    internal IReadOnlyList<TracedLock> TraceHeld()
    {
        TracedLock[] traced = new TracedLock[_heldCount];
        for (int i = 0; i < _heldCount; i++)
            traced[i] = new TracedLock(_held[i].Lock.Class.Name, _held[i].Mode, i < _trail.Length ? _trail[i].Site : default);
        return traced;
    }

    /// <summary>The task is about to wait for a lock: its order is looked at now, because the wait may never end.</summary>
    internal void Acquiring(KernelLock kernelLock, LockMode mode, string? file, int line)
    {
        if (Checks is null)
            return;
        Acts();
        WaitingAt = new LockSite(file, line);
        Look(kernelLock, mode, WaitingAt, isTry: false);
    }

    /// <summary>The task waits for everybody who holds a pseudo-lock, and does not hold it afterwards (completions, work, deletions).</summary>
    internal void Awaits(KernelLock awaited, string? file, int line)
    {
        AsksAt = new LockSite(file, line);
        if (Checks is not null)
            Look(awaited, LockMode.Write, new LockSite(file, line), isTry: false);
    }

    private void AcquiredChecked(KernelLock kernelLock, LockMode mode, LockSite site, bool isTry)
    {
        Acts();
        int count = _heldCount;
        if (count >= _held.Length)
            Grow();
        if (count >= _trail.Length)
            Array.Resize(ref _trail, _held.Length);
        ulong key = Look(kernelLock, mode, site, isTry);
        ref Trail trail = ref _trail[count];
        trail.Site = site;
        trail.KeyBelow = _chainKey;
        trail.IsTry = isTry;
        trail.Pins = 0;
        _held[count] = new HeldLock(kernelLock, mode);
        _heldCount = count + 1;
        _chainKey = key;
        if (++_uncounted == CountedAtOnce)
            Count();
    }

    private ulong Look(KernelLock kernelLock, LockMode mode, LockSite site, bool isTry)
    {
        LockValidator validator = Checks!.Locks;
        ulong key = ChainCache.Extend(_chainKey, kernelLock.Class.Hash, mode, isTry);
        if (kernelLock.IsRetired)
            Checks.Report(this, ViolationKind.RetiredLock, $"{kernelLock} is taken after its object was destroyed");
        if (!validator.Chains.Contains(key))
        {
            Count();
            validator.Look(this, kernelLock, mode, site, isTry, key);
        }
        else if (validator.VerifiesChains)
        {
            validator.Verify(this, kernelLock, mode, site, key);
        }
        return key;
    }

    private void ReleasedChecked(KernelLock kernelLock)
    {
        int at = _heldCount - 1;
        if (at < 0 || !ReferenceEquals(_held[at].Lock, kernelLock))
            at = IndexOf(kernelLock);
        if (at < 0)
        {
            Checks!.Report(this, ViolationKind.UnlockBalance, $"{kernelLock} is released by {Name}, which does not hold it");
            return;
        }
        if (_trail[at].Pins > 0)
            Checks!.Report(this, ViolationKind.PinnedLock, $"{kernelLock} is released while it is pinned");
        if (at == _heldCount - 1)
        {
            _heldCount = at;
            _chainKey = _trail[at].KeyBelow;
        }
        else
        {
            ReleasedBelow(at);
        }
        if (Runtime.CheckPoints is not { } points)
            return;
        Runtime.BeginLooking();
        points.Released(this);
        Runtime.EndLooking();
    }

    // The chain above the released lock is another one now.
    private void ReleasedBelow(int at)
    {
        if (Checks!.Locks.RequiresLifo)
        {
            Checks.Report(
                this, ViolationKind.ReleaseOrder, $"{_held[at]} is released before {string.Join(", ", Held[(at + 1)..].ToArray())}, taken later");
        }
        _chainKey = _trail[at].KeyBelow;
        for (int i = at; i < _heldCount - 1; i++)
        {
            _held[i] = _held[i + 1];
            _trail[i] = _trail[i + 1];
            _trail[i].KeyBelow = _chainKey;
            _chainKey = ChainCache.Extend(_chainKey, _held[i].Lock.Class.Hash, _held[i].Mode, _trail[i].IsTry);
        }
        _heldCount--;
    }

    private void ChangePins(KernelLock kernelLock, int change)
    {
        if (Checks is null)
            return;
        int at = IndexOf(kernelLock);
        if (at < 0)
            Checks.Report(this, ViolationKind.Assertion, $"{kernelLock} is pinned and not held");
        else
            _trail[at].Pins += change;
    }

    private void Count()
    {
        Checks!.Locks.CountAcquisitions(_uncounted);
        _uncounted = 0;
    }
}

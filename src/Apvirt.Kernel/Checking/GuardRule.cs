using System.Runtime.CompilerServices;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Checking;

/// <summary>One lock of a guard rule, as documentation and tests see it.</summary>
/// <param name="Class">The class of the lock.</param>
/// <param name="Mode">How it must be held at least.</param>
/// <param name="Condition">When it is needed; empty for always.</param>
public sealed record GuardLock(LockClass Class, LockMode Mode, string Condition)
{
    /// <inheritdoc/>
    public override string ToString() => Condition.Length == 0 ? Class.Name + Suffix : $"[{Class.Name}{Suffix} {Condition}]";

    private string Suffix => Mode == LockMode.Write && Class.Kind == LockKind.RwSemaphore ? "(W)" : Mode.Suffix();
}

/// <summary>
/// Which locks guard a field: all of <see cref="Write"/> to write it, any one of <see cref="Read"/> to read it
/// (locking.md §2: a field written under a set of locks may be read under any single lock of the set). Immutable.
/// </summary>
/// <param name="field">Canonical name of the field, such as <c>mdev.kvm</c>.</param>
/// <param name="write">Locks that writing needs, outermost first.</param>
/// <param name="read">Locks of which reading needs one; or all, if <paramref name="readsNeedAll"/>.</param>
/// <param name="readsNeedAll">Whether reading needs all of its locks.</param>
/// <param name="exceptions">Accesses that are allowed without; empty if none.</param>
public abstract class GuardRule(
    string field, IReadOnlyList<GuardLock> write, IReadOnlyList<GuardLock> read, bool readsNeedAll, string exceptions) : FieldRule(field)
{
    /// <summary>Locks that writing needs.</summary>
    public IReadOnlyList<GuardLock> Write { get; } = write;

    /// <summary>Locks that reading needs.</summary>
    public IReadOnlyList<GuardLock> Read { get; } = read;

    /// <summary>Whether reading needs all of its locks, not any one.</summary>
    public bool ReadsNeedAll { get; } = readsNeedAll;

    /// <summary>Accesses that are allowed without; empty if none.</summary>
    public string Exceptions { get; } = exceptions;

    private protected void Report(KernelTask task, string access, string needed, string file, int line)
    {
        string held = task.Held.IsEmpty ? "nothing" : string.Join(", ", task.Held.ToArray());
        task.Checks!.Report(task, ViolationKind.Guard, "I26", $"{Field} is {access} without {needed} at {new LockSite(file, line)}", $"held: {held}");
    }
}

/// <summary>A guard rule for fields of one type of owner, which knows how to find the very locks.</summary>
/// <typeparam name="TOwner">Type of the object that has the field.</typeparam>
public sealed class GuardRule<TOwner> : GuardRule
{
    private readonly Part[] _write;
    private readonly Part[] _read;

    /// <summary>States a rule.</summary>
    /// <param name="field">Canonical name of the field.</param>
    /// <param name="write">Locks that writing needs, outermost first.</param>
    /// <param name="read">Locks of which reading needs one; those that are never conditional for writing if null.</param>
    /// <param name="readsNeedAll">Whether reading needs all of its locks.</param>
    /// <param name="exceptions">Accesses that are allowed without.</param>
    public GuardRule(string field, Part[] write, Part[]? read = null, bool readsNeedAll = false, string exceptions = "")
        : base(field, [.. write.Select(p => p.Lock)], [.. Readers(write, read).Select(p => p.Lock)], readsNeedAll, exceptions)
    {
        _write = write;
        _read = Readers(write, read);
    }

    /// <summary>One lock of a rule and how to find it.</summary>
    /// <param name="Lock">The lock as a class.</param>
    /// <param name="Find">The lock of an owner; null if it is not needed now.</param>
    public sealed record Part(GuardLock Lock, Func<TOwner, KernelLock?> Find)
    {
        /// <summary>Makes a part.</summary>
        /// <param name="lockClass">The class.</param>
        /// <param name="find">The lock of an owner; null if it is not needed now.</param>
        /// <param name="condition">When it is needed, for readers; empty for always.</param>
        /// <param name="mode">How it must be held at least.</param>
        public Part(LockClass lockClass, Func<TOwner, KernelLock?> find, string condition = "", LockMode mode = LockMode.Write)
            : this(new GuardLock(lockClass, mode, condition), find)
        {
        }
    }

    /// <summary>Tells whoever watches that a task is about to read the field of an owner, and checks that it may. Only called while somebody watches.</summary>
    /// <param name="task">The task.</param>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public void CheckRead(KernelTask task, TOwner owner, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        task.Acts();
        if (task.Runtime.IsTold)
            task.Runtime.Accessed(owner!, this, part: null, AccessKind.Read);
        if (task.Checks is null)
            return;
        // To find the locks is no access of the task's.
        task.Runtime.BeginLooking();
        bool any = false;
        bool all = true;
        for (int i = 0; i < _read.Length && (ReadsNeedAll || !any); i++)
        {
            bool isHeld = _read[i].Find(owner) is not { } needed || task.HoldsAs(needed, LockMode.RecursiveRead);
            any |= isHeld;
            all &= isHeld;
        }
        task.Runtime.EndLooking();
        if (!(ReadsNeedAll ? all : any))
            Report(task, "read", string.Join(ReadsNeedAll ? " and " : " or ", Read.Select(l => l.Class.Name)), file, line);
    }

    /// <summary>Tells whoever watches that a task is about to write the field of an owner, and checks that it may. Only called while somebody watches.</summary>
    /// <param name="task">The task.</param>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public void CheckWrite(KernelTask task, TOwner owner, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        task.Acts();
        if (task.Runtime.IsTold)
            task.Runtime.Accessed(owner!, this, part: null, AccessKind.Write);
        if (task.Checks is null)
            return;
        task.Runtime.CheckPoints?.Written(this);
        task.Runtime.BeginLooking();
        foreach (Part part in _write)
        {
            if (part.Find(owner) is { } needed && !task.HoldsAs(needed, part.Lock.Mode))
                Report(task, "written", part.Lock.Class.Name, file, line);
        }
        task.Runtime.EndLooking();
    }

    private static Part[] Readers(Part[] write, Part[]? read) => read ?? [.. write.Where(part => part.Lock.Condition.Length == 0)];
}

using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Explore.Engine;

/// <summary>
/// Finds where points are missing: before accesses that meet those of other tasks, and that are not alone in their step. A step
/// may be treated as one if it acquires, then does at most one thing that others can come before or after, and then releases
/// (R. J. Lipton, "Reduction: a method of proving properties of parallel programs", 1975). So an access which no lock with a
/// point orders with those of others needs a point before it if it comes after a release, or after another such access.
/// </summary>
/// <remarks>
/// Which accesses meet is known by vector clocks of what has points: sleeping locks, completions, starts. Spin sections are
/// one access each, since they are over before anybody can come in. The first accesses that meet without order meet in some
/// execution in which no earlier ones do, and that is equivalent to one without more points; so none stays unseen. What is
/// learnt to meet others late was not counted in the executions before, of which each comes but once: a search is only over
/// when it has learnt nothing of the kind.
/// </remarks>
/// <param name="tasksMax">The most tasks.</param>
internal sealed class PointNeeds(int tasksMax)
{
    private readonly record struct Access(int Task, int Time, bool NeedsPoint);

    private sealed class Field(string name)
    {
        internal string Name { get; } = name;

        internal Access? Write { get; set; }

        // The last of each task and kind since it was written.
        internal Dictionary<(int Task, AccessKind Kind), Access> Others { get; } = [];
    }

    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly Ordering _ordering = new(tasksMax);
    private readonly Dictionary<int, Field> _fields = [];

    // Objects by number that met in any execution: accesses to them are things that others come before or after.
    private readonly HashSet<int> _contended = [];
    private string? _section;
    private bool _isFirstOfSection;
    private bool _isAfterRelease;
    private int _accesses;

    internal IReadOnlySet<string> Names => _names;

    /// <summary>The objects by number that accesses of several tasks met at; a search begins with those of the one before.</summary>
    internal HashSet<int> Contended => _contended;

    internal void Restart()
    {
        _ordering.Restart();
        _fields.Clear();
        _section = null;
    }

    internal void Steps(SteppedTask task)
    {
        _ordering.Steps(task);
        _isAfterRelease = false;
        // What does not merely acquire is itself something that others come before or after.
        _accesses = task.IsWoken || task.Amid is not null || task.Kind is PointKind.Lock or PointKind.LockShared or PointKind.LockRecursive or PointKind.Begin or PointKind.Sleep ? 0 : 1;
    }

    internal void Released(object target, bool isShared)
    {
        _ordering.Released(target, isShared);
        _isAfterRelease = true;
    }

    internal void Woken(int task, bool isByTime) => _ordering.Woken(task, isByTime);

    internal void Passed(string spinLock, bool isReleased)
    {
        _section = isReleased ? null : spinLock;
        _isAfterRelease |= isReleased;
        if (!isReleased)
            _isFirstOfSection = true;
    }

    internal void Accessed(int number, string field, AccessKind kind)
    {
        if (_ordering.Task < 0)
            return;
        string name = _section ?? field;
        // All of a section is one access, before which the point lies.
        bool isNew = _section is null || _isFirstOfSection;
        bool needsPoint = _isAfterRelease || _accesses > (isNew ? 0 : 1);
        if (_contended.Contains(number))
        {
            if (needsPoint)
                _names.Add(name);
            if (isNew)
                _accesses++;
            _isFirstOfSection = false;
        }
        if (!_fields.TryGetValue(number, out Field? known))
            _fields.Add(number, known = new Field(name));
        Access mine = new(_ordering.Task, _ordering.Time, needsPoint);
        if (known.Write is { } write)
            Meet(number, known, write, mine);
        // What does not write commutes with its own kind alone.
        AccessKind own = kind == AccessKind.Glance ? AccessKind.Read : kind;
        foreach (((int Task, AccessKind Kind) other, Access access) in known.Others)
        {
            if (other.Kind != own)
                Meet(number, known, access, mine);
        }
        if (own == AccessKind.Write)
        {
            known.Write = mine;
            known.Others.Clear();
        }
        else
        {
            known.Others[(mine.Task, own)] = mine;
        }
    }

    private void Meet(int number, Field field, Access other, Access mine)
    {
        if (_ordering.IsBefore(other.Task, other.Time))
            return;
        _contended.Add(number);
        if (other.NeedsPoint || mine.NeedsPoint)
            _names.Add(field.Name);
    }
}

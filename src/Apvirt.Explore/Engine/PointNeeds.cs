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
/// execution in which no earlier ones do, and that is equivalent to one without more points; so none stays unseen.
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
    private readonly int[] _known = new int[tasksMax * tasksMax];
    private readonly Dictionary<object, (int[] Exclusive, int[] Shared)> _released = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<int, Field> _fields = [];

    // Objects by number that met in any execution: accesses to them are things that others come before or after.
    private readonly HashSet<int> _contended = [];
    private int _task = -1;
    private string? _section;
    private bool _isAfterRelease;
    private int _accesses;

    internal IReadOnlySet<string> Names => _names;

    internal void Restart()
    {
        Array.Clear(_known);
        for (int task = 0; task < tasksMax; task++)
            Known(task)[task] = 1;
        _released.Clear();
        _fields.Clear();
        _task = -1;
        _section = null;
    }

    internal void Steps(SteppedTask task)
    {
        _task = task.Index;
        _isAfterRelease = false;
        // What does not merely acquire is itself something that others come before or after.
        _accesses = task.IsWoken || task.Amid is not null || task.Kind is PointKind.Lock or PointKind.LockShared or PointKind.LockRecursive or PointKind.Begin or PointKind.Sleep ? 0 : 1;
        if (task.IsWoken || task.Target is not { } target || !_released.TryGetValue(target, out (int[] Exclusive, int[] Shared) known))
            return;
        if (task.Kind is PointKind.Unlock or PointKind.Ask)
            return;
        Join(Known(_task), known.Exclusive);
        if (task.Kind is not (PointKind.LockShared or PointKind.LockRecursive or PointKind.TryShared or PointKind.Enter))
            Join(Known(_task), known.Shared);
    }

    internal void Released(object target, bool isShared)
    {
        if (_task < 0)
            return;
        _isAfterRelease = true;
        if (!_released.TryGetValue(target, out (int[] Exclusive, int[] Shared) known))
            _released.Add(target, known = (new int[tasksMax], new int[tasksMax]));
        Join(isShared ? known.Shared : known.Exclusive, Known(_task));
        Known(_task)[_task]++;
    }

    internal void Woken(int task)
    {
        if (_task < 0)
            return;
        Join(Known(task), Known(_task));
        Known(_task)[_task]++;
    }

    internal void Passed(string spinLock, bool isReleased)
    {
        _section = isReleased ? null : spinLock;
        _isAfterRelease |= isReleased;
        if (!isReleased)
            _isFirstOfSection = true;
    }

    private bool _isFirstOfSection;

    internal void Accessed(int number, string field, AccessKind kind)
    {
        if (_task < 0)
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
        Access mine = new(_task, Known(_task)[_task], needsPoint);
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
            known.Others[(_task, own)] = mine;
        }
    }

    private void Meet(int number, Field field, Access other, Access mine)
    {
        if (other.Task == _task || Known(_task)[other.Task] >= other.Time)
            return;
        _contended.Add(number);
        if (other.NeedsPoint || mine.NeedsPoint)
            _names.Add(field.Name);
    }

    private Span<int> Known(int task) => _known.AsSpan(task * tasksMax, tasksMax);

    private static void Join(Span<int> into, ReadOnlySpan<int> from)
    {
        for (int i = 0; i < into.Length; i++)
            into[i] = Math.Max(into[i], from[i]);
    }
}

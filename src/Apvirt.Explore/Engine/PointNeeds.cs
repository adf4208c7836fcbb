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
/// learnt to meet others late was not counted in the executions before, of which each comes but once: so what steps have done
/// is kept, each kind of step once, and looked at again when a search is over (<see cref="Given"/>).
/// </remarks>
/// <param name="tasksMax">The most tasks.</param>
internal sealed class PointNeeds(int tasksMax)
{
    private readonly record struct Access(int Task, int Time, bool NeedsPoint);

    // An access of a step: the object by number, the name of the point before it, the spin section (from 1; 0 for none).
    private readonly record struct StepAccess(int Number, string Name, int Section, bool IsAfterRelease);

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

    // What kinds of step have accessed, each with what it does first counted; and the accesses of the present one.
    private readonly Dictionary<ulong, (int First, StepAccess[] Accesses)> _kinds = [];
    private readonly List<StepAccess> _present = [];
    private Fnv _kind = new();
    private int _first;
    private int _sections;
    private string? _section;
    private bool _isFirstOfSection;
    private bool _isAfterRelease;
    private int _accesses;

    internal IReadOnlySet<string> Names => _names;

    /// <summary>The objects by number that accesses of several tasks met at; a search begins with those of the one before.</summary>
    internal HashSet<int> Contended => _contended;

    /// <summary>The fields and spin locks before which points are missing, by all that was done.</summary>
    /// <param name="contended">The objects by number that accesses of several tasks met at, in this search or in another thread's.</param>
    internal HashSet<string> Given(IReadOnlySet<int> contended)
    {
        KeepKind();
        HashSet<string> names = new(_names, StringComparer.Ordinal);
        foreach ((int first, StepAccess[] accesses) in _kinds.Values)
        {
            int count = first;
            int begun = 0;
            foreach (StepAccess access in accesses)
            {
                if (!contended.Contains(access.Number))
                    continue;
                bool isNew = access.Section == 0 || access.Section != begun;
                if (access.IsAfterRelease || count > (isNew ? 0 : 1))
                    names.Add(access.Name);
                count += isNew ? 1 : 0;
                begun = access.Section;
            }
        }
        return names;
    }

    internal void Restart()
    {
        KeepKind();
        _ordering.Restart();
        _fields.Clear();
        _section = null;
    }

    internal void Steps(SteppedTask task)
    {
        KeepKind();
        _ordering.Steps(task);
        _isAfterRelease = false;
        // What does not merely acquire is itself something that others come before or after.
        _accesses = task.IsWoken || task.Amid is not null || task.Kind is PointKind.Lock or PointKind.LockShared or PointKind.LockRecursive or PointKind.Begin or PointKind.Sleep ? 0 : 1;
        _first = _accesses;
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
        if (isReleased)
            return;
        _isFirstOfSection = true;
        _sections++;
    }

    internal void Accessed(int number, string field, AccessKind kind)
    {
        if (_ordering.Task < 0)
            return;
        string name = _section ?? field;
        // All of a section is one access, before which the point lies.
        bool isNew = _section is null || _isFirstOfSection;
        bool needsPoint = _isAfterRelease || _accesses > (isNew ? 0 : 1);
        Keep(new StepAccess(number, name, _section is null ? 0 : _sections, _isAfterRelease));
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

    private void Keep(in StepAccess access)
    {
        _present.Add(access);
        _kind.Add((ulong)(uint)access.Number << 32 | (uint)access.Section << 1 | (access.IsAfterRelease ? 1U : 0));
    }

    private void KeepKind()
    {
        if (_present.Count > 0)
        {
            _kind.Add((ulong)_first);
            if (!_kinds.ContainsKey(_kind.Value))
                _kinds.Add(_kind.Value, (_first, [.. _present]));
            _present.Clear();
        }
        _kind = new Fnv();
        _sections = 0;
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

using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Explore.Engine;

/// <summary>
/// Finds accesses to guarded fields that nothing orders: no lock that one released and the other then acquired, no
/// completion, no start. It knows nothing of the rules of the fields, so it holds those against what locks really do.
/// </summary>
/// <param name="tasksMax">The most tasks.</param>
internal sealed class RaceDetector(int tasksMax)
{
    private readonly record struct Access(int Task, int Time, string Name, string? Finding);

    private sealed class Field
    {
        internal Access? Write { get; set; }

        internal Dictionary<int, Access> Reads { get; } = [];
    }

    // By task: what it knows of each task's time; and its own time, which passes when it releases or wakes.
    private readonly int[] _known = new int[tasksMax * tasksMax];

    // By lock: what was known to those who released it, exclusively and shared.
    private readonly Dictionary<object, (int[] Exclusive, int[] Shared)> _released = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<(object Owner, GuardRule Rule), Field> _fields = [];
    private int _task = -1;

    internal void Restart()
    {
        Array.Clear(_known);
        for (int task = 0; task < tasksMax; task++)
            Known(task)[task] = 1;
        _released.Clear();
        _fields.Clear();
        _task = -1;
    }

    /// <summary>A task does its step.</summary>
    internal void Steps(SteppedTask task)
    {
        _task = task.Index;
        if (task.IsWoken || task.Target is not { } target || !_released.TryGetValue(target, out (int[] Exclusive, int[] Shared) known))
            return;
        // Who only finds that a lock is taken, or releases it, learns nothing from who released it before.
        if (task.Kind is PointKind.Unlock or PointKind.Ask || (task.Kind == PointKind.Try && target is KernelLock { IsHeld: true })
            || (task.Kind == PointKind.TryShared && target is KernelRwSemaphore semaphore && !semaphore.MayTry(LockMode.Read))
            || (task.Kind == PointKind.WaitFor && target is Completion { IsOver: false }))
            return;
        Join(Known(_task), known.Exclusive);
        if (task.Kind is not (PointKind.LockShared or PointKind.LockRecursive or PointKind.TryShared or PointKind.Enter))
            Join(Known(_task), known.Shared);
    }

    /// <summary>A lock was taken within the step.</summary>
    internal void Acquired(object target)
    {
        if (_task >= 0 && _released.TryGetValue(target, out (int[] Exclusive, int[] Shared) known))
            Join(Known(_task), known.Exclusive);
    }

    internal void Released(object target, bool isShared)
    {
        if (_task < 0)
            return;
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

    /// <summary>Something is accessed in the present step.</summary>
    /// <returns>What is wrong; null if nothing.</returns>
    internal Violation? Accessed(object owner, GuardRule rule, bool isWrite, SteppedTask task)
    {
        if (_task < 0)
            return null;
        if (!_fields.TryGetValue((owner, rule), out Field? field))
            _fields.Add((owner, rule), field = new Field());
        Access mine = new(_task, Known(_task)[_task], task.Task.Name, task.Task.Checks?.FindingOf(task.Task, "I26"));
        Violation? race = null;
        if (field.Write is { } write && IsUnordered(write))
            race = Describe(rule, isWrite, mine, wasWrite: true, write);
        if (isWrite)
        {
            foreach (Access read in field.Reads.Values)
            {
                if (race is null && IsUnordered(read))
                    race = Describe(rule, isWrite: true, mine, wasWrite: false, read);
            }
            field.Write = mine;
            field.Reads.Clear();
        }
        else
        {
            field.Reads[_task] = mine;
        }
        return race;
    }

    // The same for either order of the two.
    private static Violation Describe(GuardRule rule, bool isWrite, Access mine, bool wasWrite, Access other)
    {
        string[] both = [$"{(isWrite ? "written" : "read")} by {mine.Name}", $"{(wasWrite ? "written" : "read")} by {other.Name}"];
        Array.Sort(both, StringComparer.Ordinal);
        return new Violation(ViolationKind.DataRace, "I26", $"{rule.Field} is {both[0]} and {both[1]}, and nothing orders the two", mine.Name)
        {
            Finding = mine.Finding ?? other.Finding,
        };
    }

    private bool IsUnordered(Access other) => other.Task != _task && Known(_task)[other.Task] < other.Time;

    private Span<int> Known(int task) => _known.AsSpan(task * tasksMax, tasksMax);

    private static void Join(Span<int> into, ReadOnlySpan<int> from)
    {
        for (int i = 0; i < into.Length; i++)
            into[i] = Math.Max(into[i], from[i]);
    }
}

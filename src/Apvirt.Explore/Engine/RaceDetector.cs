using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;

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

    private readonly Ordering _ordering = new(tasksMax);
    private readonly Dictionary<(object Owner, GuardRule Rule), Field> _fields = [];

    internal void Restart()
    {
        _ordering.Restart();
        _fields.Clear();
    }

    /// <summary>A task does its step.</summary>
    internal void Steps(SteppedTask task) => _ordering.Steps(task);

    /// <summary>A lock was taken within the step.</summary>
    internal void Acquired(object target) => _ordering.Acquired(target);

    internal void Released(object target, bool isShared) => _ordering.Released(target, isShared);

    internal void Woken(int task, bool isByTime) => _ordering.Woken(task, isByTime);

    /// <summary>Something is accessed in the present step.</summary>
    /// <returns>What is wrong; null if nothing.</returns>
    internal Violation? Accessed(object owner, GuardRule rule, bool isWrite, SteppedTask task)
    {
        if (_ordering.Task < 0)
            return null;
        if (!_fields.TryGetValue((owner, rule), out Field? field))
            _fields.Add((owner, rule), field = new Field());
        Access mine = new(_ordering.Task, _ordering.Time, task.Task.Name, task.Task.Checks?.FindingOf(task.Task, "I26"));
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
            field.Reads[mine.Task] = mine;
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

    private bool IsUnordered(Access other) => !_ordering.IsBefore(other.Task, other.Time);
}

using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Validation;

/// <summary>A task that cannot go on any more.</summary>
/// <param name="Task">The task.</param>
/// <param name="Target">The lock or completion that it waits for; null if that is not known.</param>
public readonly record struct StuckTask(KernelTask Task, object? Target)
{
    /// <summary>Class of the lock that it waits for; a wake-up if it waits for none.</summary>
    public string WaitsFor => (Target as KernelLock)?.Class.Name ?? "a wake-up";
}

/// <summary>Tasks that have not ended when nobody can go on any more, and who of them waits for whom.</summary>
/// <param name="tasks">All of them.</param>
public sealed class StuckTasks(IReadOnlyList<StuckTask> tasks)
{
    /// <summary>The classes of the locks that tasks wait for in a circle, each circle in alphabetical order.</summary>
    public IReadOnlyList<string[]> Circles { get; } = [.. Find(tasks)];

    /// <summary>What has happened: who waits in no circle waits for something that nobody is left to do.</summary>
    public string Kind => Circles.Count > 0 ? "deadlock" : "lost wake-up";

    /// <summary>Says what has happened, and who holds what and waits for what.</summary>
    public override string ToString() => $"{Kind}: " + string.Join("; ", tasks.Select(
        stuck => $"{stuck.Task.Name} holds {(stuck.Task.Held.IsEmpty ? "nothing" : string.Join(", ", stuck.Task.Held.ToArray()))} and waits for {stuck.WaitsFor}"));

    private static IEnumerable<string[]> Find(IReadOnlyList<StuckTask> tasks)
    {
        for (int start = 0; start < tasks.Count; start++)
        {
            List<int> path = [];
            for (int at = start; at >= 0 && !path.Contains(at); at = HolderOf(tasks[at].Target, tasks))
            {
                path.Add(at);
                // Each circle is found once: from its first task.
                if (HolderOf(tasks[at].Target, tasks) == start && path.TrueForAll(task => task >= start))
                    yield return [.. path.Select(task => tasks[task].WaitsFor).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
            }
        }
    }

    // Of several readers one is enough: a task that waits for readers waits for each of them.
    private static int HolderOf(object? target, IReadOnlyList<StuckTask> tasks)
    {
        for (int i = 0; i < tasks.Count; i++)
        {
            foreach (HeldLock held in tasks[i].Task.Held)
            {
                if (ReferenceEquals(held.Lock, target))
                    return i;
            }
        }
        return -1;
    }
}

using Apvirt.Explore.Engine;
using Apvirt.Explore.Searches;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Explore.Tests.Engine;

/// <summary>Who waits for whom in the end: a circle is a deadlock, none a lost wake-up.</summary>
public sealed class StuckTasksTests
{
    private static readonly LockClass One = new("one", LockKind.Mutex);
    private static readonly LockClass Other = new("other", LockKind.Mutex);

    private static string[] Explore(params Func<KernelMutex, KernelMutex, Completion, KernelTask, ValueTask>[] tasks)
    {
        SortedSet<string> found = new(StringComparer.Ordinal);
        KernelExplored program = new(numbers => new ExplorationRuntime { Checks = new KernelChecks(), Numbers = numbers }, (runtime, listener) =>
        {
            (KernelMutex one, KernelMutex other, Completion done) = (new(One), new(Other), new(runtime, "never"));
            runtime.Begin(listener);
            foreach (Func<KernelMutex, KernelMutex, Completion, KernelTask, ValueTask> task in tasks)
                runtime.Spawn("task", own => task(one, other, done, own));
        });
        ExploreResult result = Search.Run(program, completed: _ =>
        {
            IReadOnlyList<string[]> circles = program.Stuck.Circles;
            found.Add(program.Unfinished == 0 ? "ends" : circles.Count == 0 ? program.Stuck.Kind : string.Join(';', circles.Select(circle => string.Join(' ', circle))));
            return true;
        });
        Assert.Equal(Verdict.Exhausted, result.Verdict);
        return [.. found];
    }

    private static async ValueTask Nest(KernelMutex outer, KernelMutex inner, KernelTask task)
    {
        await outer.LockAsync(task);
        await inner.LockAsync(task);
        inner.Unlock(task);
        outer.Unlock(task);
    }

    [Fact]
    public void Two_orders_of_two_locks_are_a_circle_of_both() => Assert.Equal(
        ["ends", "one other"],
        Explore((one, other, _, task) => Nest(one, other, task), (one, other, _, task) => Nest(other, one, task)));

    [Fact]
    public void Waiting_for_oneself_is_a_circle_of_one() => Assert.Equal(
        ["one"],
        Explore(async (one, _, _, task) =>
        {
            await one.LockAsync(task);
            await one.LockAsync(task);
        }));

    [Fact]
    public void Waiting_for_what_nobody_does_is_no_circle() => Assert.Equal(
        ["lost wake-up"],
        Explore(async (_, _, done, task) => await done.WaitAsync(task)));
}

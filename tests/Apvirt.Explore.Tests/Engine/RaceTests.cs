using Apvirt.Explore.Engine;
using Apvirt.Explore.Searches;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Explore.Tests.Engine;

/// <summary>Data races on guarded fields, by vector clocks: what the rules allow must be ordered by the locks.</summary>
public sealed class RaceTests
{
    private static readonly LockClass First = new("first", LockKind.Mutex);
    private static readonly LockClass Second = new("second", LockKind.Mutex);
    private static readonly LockClass Shared = new("shared", LockKind.RwSemaphore);

    private sealed class Owner(KernelRuntime runtime)
    {
        private Guarded<int> _field;

        internal KernelMutex First { get; } = new(RaceTests.First);

        internal KernelMutex Second { get; } = new(RaceTests.Second);

        internal KernelRwSemaphore Shared { get; } = new(RaceTests.Shared);

        internal Completion Done { get; } = new(runtime, "owner");

        internal void Write(KernelTask task, GuardRule<Owner> rule) => _field.Write(task, this, rule, 1);

        internal int Read(KernelTask task, GuardRule<Owner> rule) => _field.Read(task, this, rule);
    }

    private static readonly GuardRule<Owner> Wrong = new("field", [new(First, o => o.First)], [new(Second, o => o.Second)]);
    private static readonly GuardRule<Owner> Right = new("field", [new(First, o => o.First)]);
    private static readonly GuardRule<Owner> Semaphore = new("field", [new(Shared, o => o.Shared)], [new(Shared, o => o.Shared, mode: LockMode.Read)]);
    private static readonly GuardRule<Owner> Nothing = new("field", [], [new(First, _ => null)]);

    private static string[] Explore(params Func<Owner, KernelTask, ValueTask>[] tasks) =>
        [.. Violations(tasks).Select(violation => $"{violation.Kind} {violation.Summary}").Distinct().Order(StringComparer.Ordinal)];

    private static Violation[] Violations(params Func<Owner, KernelTask, ValueTask>[] tasks)
    {
        KernelChecks checks = new();
        KernelExplored program = new(numbers => new ExplorationRuntime { Checks = checks, Numbers = numbers }, (runtime, listener) =>
        {
            Owner owner = new(runtime);
            runtime.Begin(listener);
            for (int i = 0; i < tasks.Length; i++)
            {
                int own = i;
                runtime.Spawn($"task {own}", task => tasks[own](owner, task));
            }
        });
        Assert.Equal(Verdict.Exhausted, Search.Run(program).Verdict);
        return checks.Violations.ToArray();
    }

    private static async ValueTask WriteUnderFirst(Owner owner, KernelTask task, GuardRule<Owner> rule)
    {
        await owner.First.LockAsync(task);
        owner.Write(task, rule);
        owner.First.Unlock(task);
    }

    [Fact]
    public void A_rule_that_locks_do_not_bear_out_is_a_race() => Assert.Equal(
        ["DataRace field is read by task 1 and written by task 0, and nothing orders the two"],
        Explore(
            (owner, task) => WriteUnderFirst(owner, task, Wrong),
            async (owner, task) =>
            {
                await owner.Second.LockAsync(task);
                owner.Read(task, Wrong);
                owner.Second.Unlock(task);
            }));

    // Task 1 deviates, task 0 never does; which of the two accesses first is all the same.
    [Theory]
    [InlineData("I26", false, "F99")]
    [InlineData("I26", true, null)]
    [InlineData("I27", false, null)]
    public void A_race_is_predicted_if_one_of_its_accesses_deviates(string breaks, bool returns, string? finding)
    {
        Deviation deviation = new("F99", Lasting: [], AtOnce: [breaks]);
        Violation[] races = [.. Violations(
            (owner, task) => WriteUnderFirst(owner, task, Nothing),
            (owner, task) =>
            {
                task.Checks!.Deviated(task, deviation);
                if (returns)
                    task.ReturnToUser();
                owner.Read(task, Nothing);
                return default;
            }).Where(violation => violation.Kind == ViolationKind.DataRace)];
        Assert.NotEmpty(races);
        Assert.All(races, race => Assert.Equal(finding, race.Finding));
    }

    [Fact]
    public void A_lock_in_common_orders() => Assert.Empty(Explore(
        (owner, task) => WriteUnderFirst(owner, task, Right),
        (owner, task) => WriteUnderFirst(owner, task, Right),
        async (owner, task) =>
        {
            await owner.First.LockAsync(task);
            owner.Read(task, Right);
            owner.First.Unlock(task);
        }));

    [Fact]
    public void A_try_that_fails_orders_nothing_and_one_that_succeeds_does()
    {
        async ValueTask WriteAndComeBack(Owner owner, KernelTask task)
        {
            await WriteUnderFirst(owner, task, Nothing);
            await owner.First.LockAsync(task);
            await owner.Second.LockAsync(task);
            owner.Second.Unlock(task);
            await owner.First.UnlockAsync(task);
        }

        Func<Owner, KernelTask, ValueTask> ReadIf(bool isTaken) => async (owner, task) =>
        {
            bool hasTaken = await owner.First.TryLockAsync(task);
            if (hasTaken == isTaken)
                owner.Read(task, Nothing);
            if (hasTaken)
                await owner.First.UnlockAsync(task);
        };

        Assert.Contains(Explore(WriteAndComeBack, ReadIf(isTaken: false)), race => race.StartsWith("DataRace", StringComparison.Ordinal));
        Assert.DoesNotContain(Explore(WriteAndComeBack, ReadIf(isTaken: true)), race => race.StartsWith("DataRace", StringComparison.Ordinal));
    }

    [Fact]
    public void Readers_are_ordered_with_writers_and_need_not_be_with_each_other()
    {
        async ValueTask Read(Owner owner, KernelTask task)
        {
            await owner.Shared.LockReadAsync(task);
            owner.Read(task, Semaphore);
            owner.Shared.UnlockRead(task);
        }

        async ValueTask Write(Owner owner, KernelTask task)
        {
            await owner.Shared.LockWriteAsync(task);
            owner.Write(task, Semaphore);
            owner.Shared.UnlockWrite(task);
        }

        Assert.Empty(Explore(Read, Write, Read, Write));
    }

    [Fact]
    public void A_wait_is_ordered_after_what_ends_it() => Assert.DoesNotContain(Explore(
        async (owner, task) =>
        {
            await owner.First.LockAsync(task);
            owner.Write(task, Right);
            owner.First.Unlock(task);
            owner.Done.Complete();
        },
        async (owner, task) =>
        {
            await owner.Done.WaitAsync(task);
            owner.Write(task, Nothing);
        }), found => found.StartsWith("DataRace", StringComparison.Ordinal));

    [Fact]
    public void Without_any_lock_it_is_a_race() => Assert.Contains(
        "DataRace field is written by task 0 and written by task 1, and nothing orders the two",
        Explore(
            (owner, task) =>
            {
                owner.Write(task, Nothing);
                return default;
            },
            (owner, task) =>
            {
                owner.Write(task, Nothing);
                return default;
            }));
}

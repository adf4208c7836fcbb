using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;

namespace Apvirt.Explore.Tests.Engine;

/// <summary>Random lock programs: the search has the outcomes, deadlocks and traces of brute force, and each trace once.</summary>
public sealed class RandomProgramTests
{
    private const int Programs = 5000;
    private const int Larger = 1500;
    private const int InterleavingsMax = 4000;

    // Few locks for many tasks, so that several readers keep out a writer.
    private static readonly int[] CrowdedLocks = [0, 3, 4];

    [Fact]
    public void Random_programs_have_the_traces_of_brute_force()
    {
        Random random = new(1);
        long blocked = 0;
        long executions = 0;
        int deadlocking = 0;
        int trying = 0;
        for (int i = 0; i < Programs; i++)
        {
            LockProgram program = Make(random, hasMemory: i % 2 == 1);
            BruteForce oracle = new(program);
            while (!oracle.Run())
            {
                program = Make(random, hasMemory: i % 2 == 1);
                oracle = new BruteForce(program);
            }
            LockProgramRun run = new(program);
            SortedSet<string> outcomes = new(StringComparer.Ordinal);
            HashSet<string> traces = new(StringComparer.Ordinal);
            Explorer explorer = new(run);
            explorer.Completed = execution =>
            {
                outcomes.Add(BruteForce.Outcome(run.Unfinished != 0, run.Outcomes));
                traces.Add(BruteForce.Signature([.. Enumerable.Range(0, execution.Depth).Select(at => new Done(explorer.TaskAt(at), [explorer.StepAt(at), .. explorer.AccessedAt(at)]))], run.TaskCount));
                return true;
            };
            ExploreResult result = explorer.Run();
            string text = Text(program);
            Assert.True(Verdict.Exhausted == result.Verdict, text);
            Assert.True(oracle.Outcomes.SetEquals(outcomes), $"outcomes {string.Join(" | ", outcomes)} instead of {string.Join(" | ", oracle.Outcomes)} of\n{text}");
            Assert.True(traces.SetEquals(oracle.Traces), $"{traces.Count} traces instead of {oracle.Traces.Count} of\n{text}");
            Assert.True(result.Executions == oracle.Traces.Count, $"{result.Executions} executions for {oracle.Traces.Count} traces of\n{text}");
            blocked += result.Blocked;
            executions += result.Executions;
            deadlocking += result.Deadlocks > 0 ? 1 : 0;
            trying += program.Tasks.SelectMany(t => t).Any(x => x.Kind is StepKind.Try or StepKind.TryShared) ? 1 : 0;
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"{executions} executions, {blocked} blocked, {deadlocking} programs deadlock, {trying} try");
        Assert.InRange(deadlocking, Programs / 20, Programs);
        Assert.InRange(trying, Programs / 10, Programs);
    }

    [Fact]
    public void Random_programs_have_the_same_traces_on_several_threads()
    {
        Random random = new(2);
        for (int i = 0; i < Programs / 10; i++)
        {
            LockProgram program = Make(random, hasMemory: i % 2 == 1);
            ExploreResult alone = new Explorer(new LockProgramRun(program), new ExploreOptions { ExecutionsMax = 500 }).Run();
            if (alone.Verdict != Verdict.Exhausted)
                continue;
            ExploreResult together = new Search(new ExploreOptions { Jobs = 3, Slice = 2 }, () => new SearchWorker(new LockProgramRun(program), null)).Run();
            Assert.True((alone.Verdict, alone.Executions, alone.Deadlocks) == (together.Verdict, together.Executions, together.Deadlocks), $"{together} instead of {alone} of\n{Text(program)}");
        }
    }

    // Two readers keep a writer out, and each waits for what the writer's task has: no one of the two races with it alone.
    [Fact]
    public void A_writer_comes_before_all_readers_that_keep_it_out()
    {
        Instruction[] reader = [new(StepKind.LockShared, 1), new(StepKind.Lock, 0), new(StepKind.Unlock, 0), new(StepKind.UnlockShared, 1)];
        LockProgram program = new(2, [new(StepKind.LockShared, 0), new(StepKind.Lock, 1), new(StepKind.Unlock, 1), new(StepKind.UnlockShared, 0)], reader, reader);
        AssertHasTheTracesOfAllInterleavings(program);
    }

    // What one task touches when it comes first depends on what another has written, so a race that leads to nothing new in one
    // execution does in another that begins alike.
    [Fact]
    public void Races_of_old_steps_are_looked_at_in_each_execution()
    {
        LockProgram program = new(
            8,
            [new(StepKind.Try, 1, 1), new(StepKind.Unlock, 1)],
            [new(StepKind.Lock, 1), new(StepKind.Unlock, 1), new(StepKind.Lock, 4), new(StepKind.Read, 7), new(StepKind.Unlock, 4)],
            [new(StepKind.Lock, 2), new(StepKind.Read, 6, 1), new(StepKind.Write, 7), new(StepKind.Unlock, 2)],
            [new(StepKind.Lock, 3), new(StepKind.Write, 6), new(StepKind.Lock, 2), new(StepKind.Unlock, 2), new(StepKind.Unlock, 3), new(StepKind.Write, 7)]);
        AssertHasTheTracesOfAllInterleavings(program);
    }

    private static void AssertHasTheTracesOfAllInterleavings(LockProgram program)
    {
        HashSet<ulong> all = [];
        HashSet<ulong> reduced = [];
        Assert.Equal(Verdict.Exhausted, Traces(program, new ExploreOptions { Strategy = Strategy.Naive }, all).Verdict);
        Assert.Equal(Verdict.Exhausted, Traces(program, new ExploreOptions(), reduced).Verdict);
        Assert.Equal(all.Order(), reduced.Order());
    }

    // Larger than what brute force can do. Naive search knows nothing of races: it has every interleaving.
    [Fact]
    public void Larger_programs_have_the_traces_of_all_interleavings()
    {
        Random random = new(3);
        int compared = 0;
        int skipped = 0;
        while (compared < Larger)
        {
            LockProgram program = Make(random, hasMemory: compared % 3 == 0, isLarger: true);
            HashSet<ulong> all = [];
            if (Traces(program, new ExploreOptions { Strategy = Strategy.Naive, ExecutionsMax = InterleavingsMax }, all).Verdict != Verdict.Exhausted)
            {
                skipped++;
                continue;
            }
            compared++;
            HashSet<ulong> reduced = [];
            ExploreResult result = Traces(program, new ExploreOptions(), reduced);
            Assert.True(all.SetEquals(reduced), $"{reduced.Count} traces instead of {all.Count} of\n{Text(program)}");
            Assert.True(result.Executions == all.Count, $"{result.Executions} executions for {all.Count} traces of\n{Text(program)}");
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"{compared} compared, {skipped} too large");
    }

    private static ExploreResult Traces(LockProgram program, ExploreOptions options, HashSet<ulong> traces)
    {
        Explorer explorer = new(new LockProgramRun(program), options);
        explorer.Completed = execution =>
        {
            traces.Add(TraceOf(execution, program.Tasks.Length));
            return true;
        };
        return explorer.Run();
    }

    // The same for all executions of a trace: by task, what each of its steps follows from.
    private static ulong TraceOf(IExecution execution, int tasks)
    {
        int[] clocks = new int[execution.Depth * tasks];
        int[] counts = new int[tasks];
        ulong[] hashes = new ulong[tasks];
        for (int at = 0; at < execution.Depth; at++)
        {
            int task = execution.TaskAt(at);
            Span<int> clock = clocks.AsSpan(at * tasks, tasks);
            for (int before = 0; before < at; before++)
            {
                if (execution.TaskAt(before) != task && !Conflict(execution, at, before))
                    continue;
                for (int i = 0; i < tasks; i++)
                    clock[i] = Math.Max(clock[i], clocks[(before * tasks) + i]);
            }
            clock[task] = ++counts[task];
            foreach (int count in clock)
                hashes[task] = (hashes[task] ^ (ulong)count) * 0x9e3779b97f4a7c15UL;
        }
        return hashes.Aggregate(0UL, (all, hash) => (all ^ (hash >> 29) ^ hash) * 0xbf58476d1ce4e5b9UL);
    }

    private static bool Conflict(IExecution execution, int one, int other)
    {
        if (execution.StepAt(one).ConflictsWith(execution.StepAt(other)))
            return true;
        foreach (Step mine in execution.AccessedAt(one))
        {
            foreach (Step theirs in execution.AccessedAt(other))
            {
                if (mine.ConflictsWith(theirs))
                    return true;
            }
        }
        return false;
    }

    private sealed record Done(int Task, List<Step> Parts);

    private static string Text(LockProgram program) => string.Join('\n', program.Tasks.Select(task => string.Join(' ', task.Select(i => $"{i.Kind}({i.Object}{(i.Skip > 0 ? $", skip {i.Skip}" : "")})"))));

    // Objects 0 to 2 are mutexes, 3 and 4 reader/writer locks, 5 is a completion, 6 and 7 are memory that no lock guards.
    private static LockProgram Make(Random random, bool hasMemory, bool isLarger = false)
    {
        Instruction[][] tasks = new Instruction[isLarger ? random.Next(3, 6) : random.Next(2, 5)][];
        for (int i = 0; i < tasks.Length; i++)
        {
            List<Instruction> task = [];
            Fill(random, task, [], depth: 0, hasMemory, isLarger);
            tasks[i] = [.. task];
        }
        return new LockProgram(8, tasks);
    }

    private static void Fill(Random random, List<Instruction> task, HashSet<int> held, int depth, bool hasMemory, bool isLarger)
    {
        int count = random.Next(1, depth == 0 ? 3 : 2);
        for (int i = 0; i < count; i++)
        {
            int choice = random.Next(10);
            int target = isLarger ? CrowdedLocks[random.Next(CrowdedLocks.Length)] : random.Next(5);
            if (choice == 0 && depth == 0)
            {
                task.Add(new Instruction(random.Next(2) == 0 ? StepKind.Complete : StepKind.Wait, 5));
                continue;
            }
            if (!held.Add(target))
                continue;
            bool isShared = target >= 3 && random.Next(2) == 0;
            bool isTry = choice is 1 or 2 && !isLarger;
            List<Instruction> inner = [];
            if (hasMemory && random.Next(3) > 0)
                Access(random, inner);
            if (depth < 2 && random.Next(3) > 0)
                Fill(random, inner, held, depth + 1, hasMemory, isLarger);
            inner.Add(new Instruction(isShared ? StepKind.UnlockShared : StepKind.Unlock, target));
            task.Add(isTry
                ? new Instruction(isShared ? StepKind.TryShared : StepKind.Try, target, inner.Count)
                : new Instruction(isShared ? StepKind.LockShared : StepKind.Lock, target));
            task.AddRange(inner);
            held.Remove(target);
            if (hasMemory && random.Next(3) == 0)
                Access(random, task);
        }
    }

    private static void Access(Random random, List<Instruction> task)
    {
        int choice = random.Next(3);
        task.Add(new Instruction(choice == 0 ? StepKind.Write : StepKind.Read, random.Next(6, 8), choice == 2 ? 1 : 0));
        // What a task does may depend on what it has read.
        if (choice == 2)
            task.Add(new Instruction(random.Next(2) == 0 ? StepKind.Write : StepKind.Read, random.Next(6, 8)));
    }

    /// <summary>Every interleaving with a point before every instruction but accesses to memory, of its own making.</summary>
    private sealed class BruteForce(LockProgram program)
    {
        private const int LeavesMax = 300;

        private readonly bool[] _isTried = [.. Enumerable.Range(0, program.Objects).Select(o => program.Tasks.Any(t => t.Any(i => i.Object == o && i.Kind is StepKind.Try or StepKind.TryShared)))];
        private int _leaves;

        internal HashSet<string> Outcomes { get; } = new(StringComparer.Ordinal);

        internal HashSet<string> Traces { get; } = new(StringComparer.Ordinal);

        /// <summary>False if there are too many.</summary>
        internal bool Run()
        {
            Search(new int[program.Tasks.Length], new int[program.Objects], [], [.. program.Tasks.Select(_ => new List<int>())]);
            return _leaves <= LeavesMax;
        }

        internal static string Outcome(bool isDeadlock, IReadOnlyList<List<int>> seen) =>
            (isDeadlock ? "deadlock " : "") + string.Join(',', seen.Select(t => string.Join('.', t)));

        /// <summary>The order of conflicting steps, which is the same for all executions of a trace.</summary>
        internal static string Signature(IReadOnlyList<Done> steps, int tasks)
        {
            int[][] clocks = new int[steps.Count][];
            int[] counts = new int[tasks];
            SortedSet<string> parts = new(StringComparer.Ordinal);
            for (int i = 0; i < steps.Count; i++)
            {
                int[] clock = new int[tasks];
                for (int j = 0; j < i; j++)
                {
                    if (steps[j].Task == steps[i].Task || steps[j].Parts.Any(one => steps[i].Parts.Any(other => one.ConflictsWith(other))))
                        clock = [.. clock.Zip(clocks[j], Math.Max)];
                }
                clock[steps[i].Task] = ++counts[steps[i].Task];
                clocks[i] = clock;
                parts.Add($"{steps[i].Task}:{string.Join('.', clock)}");
            }
            return string.Join(' ', parts);
        }

        private void Search(int[] at, int[] state, List<Done> steps, List<int>[] seen)
        {
            if (_leaves > LeavesMax)
                return;
            bool moved = false;
            for (int task = 0; task < at.Length; task++)
            {
                Instruction[] code = program.Tasks[task];
                if (at[task] == code.Length || !CanDo(code[at[task]], state))
                    continue;
                moved = true;
                int[] newAt = [.. at];
                int[] newState = [.. state];
                List<int>[] newSeen = [.. seen.Select(t => new List<int>(t))];
                List<Step> parts = [];
                DoNext(task, newAt, newState, newSeen[task], parts);
                while (ReachesMemory(code, newAt[task]))
                    DoNext(task, newAt, newState, newSeen[task], parts);
                Search(newAt, newState, parts.Count > 0 ? [.. steps, new Done(task, parts)] : steps, newSeen);
            }
            if (moved)
                return;
            _leaves++;
            bool isDeadlock = at.Where((position, task) => position < program.Tasks[task].Length).Any();
            Outcomes.Add(Outcome(isDeadlock, seen));
            Traces.Add(Signature(steps, at.Length));
        }

        // Whether memory is accessed before the next step.
        private bool ReachesMemory(Instruction[] code, int at)
        {
            while (at < code.Length && code[at].Kind is StepKind.Unlock or StepKind.UnlockShared && !_isTried[code[at].Object])
                at++;
            return at < code.Length && code[at].Kind is StepKind.Read or StepKind.Write;
        }

        private static bool CanDo(Instruction next, int[] state) => next.Kind switch
        {
            StepKind.Lock => state[next.Object] == 0,
            StepKind.LockShared => state[next.Object] >= 0,
            StepKind.Wait => state[next.Object] > 0,
            _ => true,
        };

        private void DoNext(int task, int[] at, int[] state, List<int> seen, List<Step> parts)
        {
            Instruction next = program.Tasks[task][at[task]];
            if (next.Kind is not (StepKind.Unlock or StepKind.UnlockShared) || _isTried[next.Object])
                parts.Add(new Step(next.Kind, next.Object));
            ref int own = ref state[next.Object];
            switch (next.Kind)
            {
                case StepKind.Lock: own = -1; break;
                case StepKind.Unlock: own = 0; break;
                case StepKind.LockShared or StepKind.Complete: own++; break;
                case StepKind.UnlockShared or StepKind.Wait: own--; break;
                case StepKind.Read:
                    seen.Add(own);
                    at[task] += own != 0 ? next.Skip : 0;
                    break;
                case StepKind.Write: own = (task << 8) + at[task] + 1; break;
                default:
                    bool succeeds = next.Kind == StepKind.Try ? own == 0 : own >= 0;
                    seen.Add(succeeds ? 1 : 0);
                    if (!succeeds)
                        at[task] += next.Skip;
                    else
                        own = next.Kind == StepKind.Try ? -1 : own + 1;
                    break;
            }
            at[task]++;
        }
    }
}

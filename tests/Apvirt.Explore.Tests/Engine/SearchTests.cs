using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;
using Apvirt.Explore.Searches;

namespace Apvirt.Explore.Tests.Engine;

/// <summary>Searches with limits, with several threads, and those that draw.</summary>
public sealed class SearchTests
{
    private static LockProgram Known(string name) => KnownPrograms.All.Single(p => p.Name == name).Program;

    private static ExploreResult Run(LockProgram program, ExploreOptions options, Action<IExecution>? completed = null, Action<ExploreProgress>? progress = null) =>
        new Search(options, () => new SearchWorker(new LockProgramRun(program), execution =>
        {
            completed?.Invoke(execution);
            return true;
        })) { Progress = progress }.Run();

    // A ring of n has 2^n - 2 acyclic orientations; standard dining adds the one deadlocked trace (EXPLORE.md).
    private static LockProgram Dining(int n) => new(n, [.. Enumerable.Range(0, n).Select(i => LockProgram.Nest(i, (i + 1) % n))]);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void Several_threads_see_each_trace_once(int jobs)
    {
        HashSet<string> orders = new(StringComparer.Ordinal);
        ExploreResult result = Run(Dining(12), new ExploreOptions { Jobs = jobs, Slice = 50 }, execution =>
        {
            // By lock, who had it in which order.
            string order = string.Join(' ', Enumerable.Range(0, execution.Depth)
                .Select(at => (execution.StepAt(at).Object, Task: execution.TaskAt(at)))
                .GroupBy(step => step.Object).OrderBy(steps => steps.Key)
                .Select(steps => $"{steps.Key}:{string.Join(',', steps.Select(step => step.Task))}"));
            lock (orders)
                orders.Add(order);
        });
        Assert.Equal((Verdict.Exhausted, (1 << 12) - 2 + 1, 1), (result.Verdict, result.Executions, result.Deadlocks));
        Assert.Equal((1 << 12) - 2 + 1, orders.Count);
        Assert.InRange(result.Blocked, 0, result.Executions / 5);
    }

    [Fact]
    public void Few_preemptions_are_all_executions_that_have_so_many_at_most()
    {
        LockProgram program = Known("S3-4");
        Dictionary<int, long> byPreemptions = [];
        LockProgramRun run = new(program);
        ExploreResult all = Search.Run(run, new ExploreOptions { Strategy = Strategy.Naive }, execution =>
        {
            int preemptions = Preemptions(program, execution);
            byPreemptions[preemptions] = byPreemptions.GetValueOrDefault(preemptions) + 1;
            return true;
        });
        Assert.Equal(Verdict.Exhausted, all.Verdict);
        int most = byPreemptions.Keys.Max();
        for (int bound = 0; bound <= most; bound++)
        {
            ExploreResult result = Run(program, new ExploreOptions { Strategy = Strategy.Naive, PreemptionsMax = bound });
            Assert.Equal(byPreemptions.Where(p => p.Key <= bound).Sum(p => p.Value), result.Executions);
            Assert.Equal(bound < most ? Verdict.BoundReached : Verdict.Exhausted, result.Verdict);
        }
    }

    private static int Preemptions(LockProgram program, IExecution execution)
    {
        LockProgramRun run = new(program);
        run.Restart();
        int preemptions = 0;
        for (int at = 0; at < execution.Depth; at++)
        {
            if (at > 0 && execution.TaskAt(at) != execution.TaskAt(at - 1) && (run.Enabled >> execution.TaskAt(at - 1) & 1) != 0)
                preemptions++;
            run.Do(execution.TaskAt(at));
        }
        return preemptions;
    }

    [Theory]
    [InlineData(Strategy.Random)]
    [InlineData(Strategy.Priorities)]
    public void What_is_drawn_finds_the_deadlock_of_the_lockdep_splat(Strategy strategy)
    {
        ExploreResult result = Run(Known("S2-bug"), new ExploreOptions { Strategy = strategy, ExecutionsMax = 1000, StopsAtDeadlock = true });
        Assert.Equal((Verdict.Violation, 1), (result.Verdict, result.Deadlocks));
        // Without one it never says that everything was seen.
        Assert.Equal(Verdict.BoundReached, Run(Known("S2-fixed"), new ExploreOptions { Strategy = strategy, ExecutionsMax = 1000 }).Verdict);
    }

    [Theory]
    [InlineData(Strategy.Random)]
    [InlineData(Strategy.Priorities)]
    public void Seeds_are_independent_and_threads_make_no_difference(Strategy strategy)
    {
        string[] Schedules(ulong seed, int jobs)
        {
            List<string> schedules = [];
            Run(Known("S3-6"), new ExploreOptions { Strategy = strategy, Seed = seed, Jobs = jobs, ExecutionsMax = 400 }, execution =>
            {
                lock (schedules)
                    schedules.Add(string.Join(',', Enumerable.Range(0, execution.Depth).Select(execution.TaskAt)));
            });
            return [.. schedules];
        }

        string[] first = Schedules(1, jobs: 1);
        Assert.Equal(400, first.Length);
        Assert.Equal(first, Schedules(1, jobs: 1));
        Assert.Equal(first.Order(StringComparer.Ordinal), Schedules(1, jobs: 2).Order(StringComparer.Ordinal));
        string[] second = Schedules(2, jobs: 1);
        for (int shift = -10; shift <= 10; shift++)
            Assert.NotEqual(first.Skip(10).Take(300), second.Skip(10 + shift).Take(300));
    }

    // Whenever time ends: before the first execution, or after a branch was taken and before it was begun (M125).
    [Theory]
    [InlineData(Strategy.Reduced, 1)]
    [InlineData(Strategy.Reduced, 2)]
    [InlineData(Strategy.Hashed, 1)]
    [InlineData(Strategy.Hashed, 2)]
    [InlineData(Strategy.Naive, 1)]
    [InlineData(Strategy.Naive, 2)]
    public void It_is_exhausted_only_when_each_trace_was_seen(Strategy strategy, int jobs)
    {
        ExploreOptions options = new() { Strategy = strategy, Jobs = jobs, Slice = 1 };
        long all = Run(Known("S2-fixed"), options).Executions;
        HashSet<Verdict> verdicts = [];
        for (int ticks = 1; ticks < 60_000; ticks += 40)
        {
            ExploreResult result = Run(Known("S2-fixed"), options with { TimeMax = TimeSpan.FromTicks(ticks) });
            verdicts.Add(result.Verdict);
            Assert.True(result.Verdict == Verdict.BoundReached || result.Executions == all, $"{result} after {ticks} ticks");
        }
        Assert.Equal([Verdict.Exhausted, Verdict.BoundReached], verdicts.Order());
    }

    // Each limit, hit at each possible moment.
    [Theory]
    [InlineData(Strategy.Reduced, 1)]
    [InlineData(Strategy.Reduced, 3)]
    [InlineData(Strategy.Hashed, 1)]
    [InlineData(Strategy.Hashed, 3)]
    [InlineData(Strategy.Naive, 1)]
    [InlineData(Strategy.Naive, 3)]
    public void A_cut_search_never_says_exhausted(Strategy strategy, int jobs)
    {
        ExploreOptions options = new() { Strategy = strategy, Jobs = jobs, Slice = 1 };
        ExploreResult all = Run(Known("S2-bug"), options);
        Assert.Equal(Verdict.Exhausted, all.Verdict);
        for (int depth = 1; depth < all.DepthReached; depth++)
            Assert.Equal(Verdict.BoundReached, Run(Known("S2-bug"), options with { DepthMax = depth }).Verdict);
        Assert.Equal(Verdict.Exhausted, Run(Known("S2-bug"), options with { DepthMax = all.DepthReached }).Verdict);
        for (int executions = 1; executions < all.Executions; executions++)
            Assert.Equal(Verdict.BoundReached, Run(Known("S2-bug"), options with { ExecutionsMax = executions }).Verdict);
        ExploreResult first = Run(Known("S2-bug"), options with { StopsAtDeadlock = true });
        Assert.Equal((Verdict.Violation, 1), (first.Verdict, first.Deadlocks));
    }

    [Fact]
    public void Time_is_a_limit_and_progress_tells_how_far_it_came()
    {
        List<ExploreProgress> told = [];
        ExploreResult result = Run(Dining(30), new ExploreOptions { TimeMax = TimeSpan.FromMilliseconds(500) }, progress: told.Add);
        Assert.Equal(Verdict.BoundReached, result.Verdict);
        Assert.True(result.Executions > 0);
        Assert.True(told.Count > 1);
        Assert.True(told[0].Executions < told[^1].Executions && told[^1].Frontier > 0 && told[^1].Estimate > told[^1].Executions);
        told.Clear();
        result = Run(Dining(12), new ExploreOptions(), progress: told.Add);
        Assert.Equal((result.Executions, 0, (double)(result.Executions + result.Blocked)), (told[^1].Executions, told[^1].Frontier, told[^1].Estimate!.Value));
    }
}

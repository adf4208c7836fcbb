using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;
using Apvirt.Kernel.Work;

namespace Apvirt.Kernel.Tests.Runtime;

public sealed class SimulationRuntimeTests
{
    private static readonly LockClass TestClass = new("test mutex", LockKind.Mutex);

    private readonly SimulationRuntime _runtime = new();

    [Fact]
    public void TimeIsVirtualAndJumpsToTheNextTimer()
    {
        KernelTask task = _runtime.CreateTask("sleeper");
        Assert.True(_runtime.Drive(_runtime.DelayAsync(task, TimeSpan.FromDays(365))));
        Assert.Equal(TimeSpan.FromDays(365), _runtime.Now);
    }

    [Fact]
    public void SleepersWakeInTheOrderOfTheirTimes()
    {
        List<(int, TimeSpan)> woken = [];
        foreach (int seconds in (int[])[30, 10, 20])
        {
            _runtime.Spawn($"sleeper {seconds}", async task =>
            {
                await _runtime.DelayAsync(task, TimeSpan.FromSeconds(seconds));
                woken.Add((seconds, _runtime.Now));
            });
        }
        _runtime.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(
            [(10, TimeSpan.FromSeconds(10)), (20, TimeSpan.FromSeconds(20)), (30, TimeSpan.FromSeconds(30))], woken);
        Assert.Equal(TimeSpan.FromMinutes(1), _runtime.Now);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void TheSameSeedGivesTheSameRun(bool isPreemptive)
    {
        for (ulong seed = 0; seed < 20; seed++)
            Assert.Equal(Run(seed, isPreemptive), Run(seed, isPreemptive));
    }

    [Fact]
    public void DifferentSeedsGiveDifferentRuns()
    {
        string[] runs = [.. Enumerable.Range(1, 20).Select(seed => Run((ulong)seed, isPreemptive: false))];
        Assert.True(runs.Distinct(StringComparer.Ordinal).Count() > 15);
        Assert.True(Enumerable.Range(1, 20).Select(seed => Run((ulong)seed, isPreemptive: true)).Distinct(StringComparer.Ordinal).Count() > 15);
    }

    [Fact]
    public void SeedZeroRunsTasksInTheOrderInWhichTheyBecameRunnable()
    {
        List<int> order = [];
        for (int i = 0; i < 10; i++)
        {
            int number = i;
            _runtime.Spawn($"task {i}", _ =>
            {
                order.Add(number);
                return default;
            });
        }
        Assert.Empty(order);
        _runtime.Advance(TimeSpan.Zero);
        Assert.Equal(Enumerable.Range(0, 10), order);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(99)]
    public void TimersThatAreDueTogetherFireInTheOrderOfTheirSetting(ulong seed)
    {
        SimulationRuntime runtime = new(seed);
        List<int> fired = [];
        List<ITimer> timers = [];
        for (int i = 0; i < 10; i++)
        {
            int number = i;
            timers.Add(runtime.Time.CreateTimer(
                _ => fired.Add(number), state: null, TimeSpan.FromSeconds(1), Timeout.InfiniteTimeSpan));
        }
        timers[4].Dispose();
        timers[7].Change(TimeSpan.FromSeconds(1), Timeout.InfiniteTimeSpan);
        runtime.Advance(TimeSpan.FromMilliseconds(999));
        Assert.Empty(fired);
        runtime.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal([0, 1, 2, 3, 5, 6, 8, 9, 7], fired);
    }

    [Fact]
    public void AKernelTimerFiresOnceAndItsLastSettingCounts()
    {
        List<TimeSpan> fired = [];
        KernelTimer timer = new(_runtime, "timer", _ =>
        {
            fired.Add(_runtime.Now);
            return default;
        });
        timer.Set(TimeSpan.FromSeconds(5));
        timer.Set(TimeSpan.FromSeconds(8));
        _runtime.Advance(TimeSpan.FromSeconds(20));
        Assert.Equal([TimeSpan.FromSeconds(8)], fired);
        timer.Set(TimeSpan.FromSeconds(1));
        timer.Cancel();
        _runtime.Advance(TimeSpan.FromSeconds(20));
        Assert.Single(fired);
    }

    [Fact]
    public void DriveStopsAtTheHorizonAndTheOperationGoesOnLater()
    {
        SpawnedTask sleeper = _runtime.Spawn("sleeper", task => _runtime.DelayAsync(task, TimeSpan.FromSeconds(10)));
        KernelTask joiner = _runtime.CreateTask("joiner");
        Assert.False(_runtime.Drive(sleeper.JoinAsync(joiner), TimeSpan.FromSeconds(9)));
        Assert.True(_runtime.Now <= TimeSpan.FromSeconds(9));
        Assert.False(sleeper.IsCompleted);
        _runtime.Advance(TimeSpan.FromSeconds(10));
        Assert.True(sleeper.IsCompleted);
    }

    [Fact]
    public void TryDriveGivesTheAnswerOnlyOnceThereIsOne()
    {
        KernelTask task = _runtime.CreateTask("waiter");
        Completion completion = new(_runtime, "completion");
        Assert.False(_runtime.TryDrive(completion.WaitAsync(task, TimeSpan.FromSeconds(10)), TimeSpan.FromSeconds(5), out _));
        _runtime.Advance(TimeSpan.FromSeconds(10));
        Assert.True(_runtime.TryDrive(
            completion.WaitAsync(task, TimeSpan.FromSeconds(10)), TimeSpan.FromSeconds(15), out WaitResult answer));
        Assert.Equal(WaitResult.TimedOut, answer);
    }

    [Fact]
    public void AnOperationThatCanNeverEndIsReported()
    {
        KernelTask task = _runtime.CreateTask("waiter");
        Assert.Throws<InvalidOperationException>(() => _runtime.Drive(new Completion(_runtime, "never").WaitAsync(task)));
    }

    [Fact]
    public void ABugInASpawnedTaskIsRethrown()
    {
        _runtime.Spawn("buggy", async task =>
        {
            await _runtime.DelayAsync(task, TimeSpan.FromSeconds(1));
            throw new ArgumentException("the bug");
        });
        ArgumentException bug = Assert.Throws<ArgumentException>(() => _runtime.Advance(TimeSpan.FromSeconds(2)));
        Assert.Contains("the bug", bug.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AFailureReachesWhoeverJoins()
    {
        SpawnedTask buggy = _runtime.Spawn("buggy", _ => throw new ArgumentException("the bug"));
        Assert.Throws<ArgumentException>(() => _runtime.Advance(TimeSpan.Zero));
        Assert.Throws<ArgumentException>(() => _runtime.Drive(buggy.JoinAsync(_runtime.CreateTask("joiner"))));
    }

    [Fact]
    public void RandomNumbersFollowTheSeed()
    {
        SimulationRuntime same = new(5);
        SimulationRuntime other = new(6);
        SimulationRuntime first = new(5);
        ulong[] numbers = [first.NextRandom(), first.NextRandom(), first.NextRandom()];
        Assert.Equal(numbers, (ulong[])[same.NextRandom(), same.NextRandom(), same.NextRandom()]);
        Assert.NotEqual(numbers, (ulong[])[other.NextRandom(), other.NextRandom(), other.NextRandom()]);
    }

    private static string Run(ulong seed, bool isPreemptive)
    {
        SimulationRuntime runtime = new(seed, isPreemptive);
        KernelMutex mutex = new(TestClass);
        List<string> log = [];
        for (int i = 0; i < 8; i++)
        {
            int number = i;
            runtime.Spawn($"task {i}", async task =>
            {
                for (int round = 0; round < 3; round++)
                {
                    await mutex.LockAsync(task);
                    log.Add($"{number}.{round}");
                    mutex.Unlock(task);
                    await runtime.DelayAsync(task, TimeSpan.FromMilliseconds(1));
                }
            });
        }
        runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(24, log.Count);
        return string.Join(' ', log);
    }
}

using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;
using Apvirt.Kernel.Work;

namespace Apvirt.Kernel.Tests.Runtime;

public sealed class SimulationRuntimeTests
{
    private static string Schedule(ulong seed)
    {
        SimulationRuntime runtime = new(seed, preemptive: true);
        Apvirt.Kernel.Locking.KernelMutex mutex = new(new("m", Apvirt.Kernel.Locking.LockKind.Mutex));
        List<string> steps = [];
        for (int i = 0; i < 6; i++)
        {
            string me = $"{i}";
            runtime.Spawn(me, async task =>
            {
                for (int round = 0; round < 3; round++)
                {
                    await mutex.LockAsync(task);
                    steps.Add(me);
                    mutex.Unlock(task);
                    await runtime.DelayAsync(task, TimeSpan.FromMilliseconds(1));
                }
            });
        }
        runtime.Advance(TimeSpan.FromSeconds(1));
        return string.Concat(steps);
    }

    [Fact]
    public void The_same_seed_gives_the_same_run_and_another_seed_another()
    {
        Assert.Equal(Schedule(7), Schedule(7));
        Assert.True(Enumerable.Range(1, 20).Select(seed => Schedule((ulong)seed)).Distinct().Count() > 10);
    }

    [Fact]
    public void A_sleep_with_nobody_else_to_run_moves_the_clock_in_place()
    {
        SimulationRuntime runtime = new();
        ValueTask sleep = runtime.DelayAsync(runtime.CreateTask("t"), TimeSpan.FromHours(2));
        Assert.True(sleep.IsCompletedSuccessfully);
        Assert.Equal(TimeSpan.FromHours(2), runtime.Now);
    }

    [Fact]
    public void Sleepers_wake_in_the_order_of_their_times()
    {
        SimulationRuntime runtime = new();
        List<(int, TimeSpan)> woken = [];
        foreach (int seconds in (int[])[3, 1, 2])
        {
            runtime.Spawn($"{seconds}", async task =>
            {
                await runtime.DelayAsync(task, TimeSpan.FromSeconds(seconds));
                woken.Add((seconds, runtime.Now));
            });
        }
        runtime.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal([(1, TimeSpan.FromSeconds(1)), (2, TimeSpan.FromSeconds(2)), (3, TimeSpan.FromSeconds(3))], woken);
        Assert.Equal(TimeSpan.FromSeconds(10), runtime.Now);
    }

    [Fact]
    public void What_cannot_end_within_the_horizon_goes_on_later()
    {
        SimulationRuntime runtime = new();
        Completion gate = new();
        ValueTask<int> operation = Wait(runtime.CreateTask("t"));
        Assert.False(runtime.TryDrive(operation, TimeSpan.FromSeconds(1), out _));
        gate.CompleteAll();
        runtime.Advance(TimeSpan.Zero);
        Assert.Equal(42, Answer);

        async ValueTask<int> Wait(KernelTask task)
        {
            await gate.WaitAsync(task);
            return Answer = 42;
        }
    }

    private int Answer { get; set; }

    [Fact]
    public void A_bug_in_a_task_is_not_lost()
    {
        SimulationRuntime runtime = new();
        runtime.Spawn("t", _ => throw new InvalidDataException("bug"));
        Assert.Throws<InvalidDataException>(() => runtime.Advance(TimeSpan.Zero));
    }

    [Fact]
    public void A_completion_can_time_out_be_interrupted_or_let_one_through()
    {
        SimulationRuntime runtime = new();
        Completion completion = new();
        List<WaitResult> results = [];
        SpawnedTask timed = runtime.Spawn("timed", async task => results.Add(await completion.WaitAsync(task, TimeSpan.FromSeconds(1))));
        runtime.Advance(TimeSpan.FromSeconds(2));
        SpawnedTask signalled = runtime.Spawn("signalled", async task => results.Add(await completion.WaitAsync(task, interruptible: true)));
        runtime.Advance(TimeSpan.Zero);
        signalled.Task.Interrupt();
        runtime.Advance(TimeSpan.Zero);
        completion.Complete();
        runtime.Spawn("through", async task => results.Add(await completion.WaitAsync(task)));
        SpawnedTask stuck = runtime.Spawn("stuck", async task => results.Add(await completion.WaitAsync(task)));
        runtime.Advance(TimeSpan.Zero);
        Assert.Equal([WaitResult.TimedOut, WaitResult.Interrupted, WaitResult.Done], results);
        Assert.True(timed.IsCompleted);
        Assert.False(stuck.IsCompleted);
    }

    [Fact]
    public void Work_is_done_in_order_once_and_a_flush_waits_for_it()
    {
        SimulationRuntime runtime = new();
        WorkQueue queue = new(runtime, "worker");
        List<string> done = [];
        WorkItem a = new("a", async worker =>
        {
            await runtime.DelayAsync(worker, TimeSpan.FromSeconds(1));
            done.Add("a");
        });
        WorkItem b = new("b", _ =>
        {
            done.Add("b");
            return default;
        });
        Assert.True(queue.Queue(a));
        Assert.False(queue.Queue(a));
        Assert.True(queue.Queue(b));
        runtime.Spawn("flusher", async task =>
        {
            await queue.FlushAsync(task, b);
            done.Add("flushed");
        });
        runtime.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(["a", "b", "flushed"], done);
        Assert.True(runtime.Drive(queue.RunAsync(runtime.CreateTask("t"), b), TimeSpan.FromSeconds(1)));
        Assert.Equal(["a", "b", "flushed", "b"], done);
    }
}

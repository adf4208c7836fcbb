using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Tests.Locking;

public sealed class MutexOnThreadsTests
{
    private static readonly LockClass Class = new("test", LockKind.Mutex);

    public static TheoryData<string> Runtimes() => ["simulation", "production"];

    private static KernelRuntime Make(string runtime) => runtime == "simulation" ? new SimulationRuntime() : new ProductionRuntime(1);

    [Theory]
    [MemberData(nameof(Runtimes))]
    public void Uncontended_completes_at_once_and_allocates_nothing(string runtime)
    {
        KernelTask task = Make(runtime).CreateTask("t");
        KernelMutex mutex = new(Class);
        LockAndUnlock(mutex, task);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
            LockAndUnlock(mutex, task);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        Assert.True(task.Held.IsEmpty);

        static void LockAndUnlock(KernelMutex mutex, KernelTask task)
        {
            if (!mutex.LockAsync(task).IsCompletedSuccessfully)
                throw new InvalidOperationException();
            mutex.Unlock(task);
        }
    }

    [Fact]
    public void Waiters_get_it_in_the_order_of_their_coming()
    {
        SimulationRuntime runtime = new();
        KernelMutex mutex = new(Class);
        KernelTask holder = runtime.CreateTask("holder");
        Assert.True(mutex.TryLock(holder));
        List<int> order = [];
        for (int i = 0; i < 5; i++)
        {
            int me = i;
            runtime.Spawn($"t{i}", async task =>
            {
                await mutex.LockAsync(task);
                order.Add(me);
                await runtime.DelayAsync(task, TimeSpan.FromMilliseconds(1));
                mutex.Unlock(task);
            });
        }
        runtime.Advance(TimeSpan.FromMilliseconds(10));
        Assert.Empty(order);
        mutex.Unlock(holder);
        runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([0, 1, 2, 3, 4], order);
        Assert.Null(mutex.Holder);
    }

    [Fact]
    public void A_newcomer_does_not_overtake_a_waiter()
    {
        SimulationRuntime runtime = new();
        KernelMutex mutex = new(Class);
        KernelTask holder = runtime.CreateTask("holder");
        KernelTask newcomer = runtime.CreateTask("newcomer");
        Assert.True(mutex.TryLock(holder));
        SpawnedTask waiter = runtime.Spawn("waiter", async task => await mutex.LockAsync(task));
        Assert.Throws<InvalidOperationException>(() =>
        {
            runtime.Advance(TimeSpan.Zero);
            mutex.Unlock(holder);
            // Handed over although the waiter has not run yet.
            Assert.Same(waiter.Task, mutex.Holder);
            Assert.False(mutex.TryLock(newcomer));
            // The waiter ends holding the mutex, which is reported.
            runtime.Advance(TimeSpan.Zero);
        });
    }

    [Fact]
    public void Only_the_holder_can_unlock()
    {
        SimulationRuntime runtime = new();
        KernelMutex mutex = new(Class);
        Assert.True(mutex.TryLock(runtime.CreateTask("a")));
        Assert.Throws<InvalidOperationException>(() => mutex.Unlock(runtime.CreateTask("b")));
    }

    [Fact]
    public void An_interrupted_wait_ends_with_EINTR_and_leaves_the_queue_whole()
    {
        SimulationRuntime runtime = new();
        KernelMutex mutex = new(Class);
        KernelTask holder = runtime.CreateTask("holder");
        Assert.True(mutex.TryLock(holder));
        Errno? first = null;
        bool second = false;
        SpawnedTask t1 = runtime.Spawn("t1", async task => first = await mutex.LockInterruptibleAsync(task));
        runtime.Spawn("t2", async task =>
        {
            await mutex.LockAsync(task);
            second = true;
            mutex.Unlock(task);
        });
        runtime.Advance(TimeSpan.Zero);
        t1.Task.Interrupt();
        runtime.Advance(TimeSpan.Zero);
        Assert.Equal(Errno.EINTR, first);
        Assert.False(second);
        mutex.Unlock(holder);
        runtime.Advance(TimeSpan.Zero);
        Assert.True(second);
    }

    [Fact]
    public void A_task_knows_what_it_holds_outermost_first()
    {
        SimulationRuntime runtime = new();
        KernelTask task = runtime.CreateTask("t");
        KernelMutex outer = new(new LockClass("outer", LockKind.Mutex));
        KernelRwSemaphore inner = new(new LockClass("inner", LockKind.RwSemaphore));
        Assert.True(outer.TryLock(task));
        Assert.True(inner.TryLockRead(task));
        Assert.Equal(["outer", "inner(r)"], task.Held.ToArray().Select(h => h.ToString()));
        outer.Unlock(task);
        Assert.Equal(["inner(r)"], task.Held.ToArray().Select(h => h.ToString()));
        inner.UnlockRead(task);
        Assert.True(task.Held.IsEmpty);
    }

    [Theory]
    [InlineData(5_000, 64)]
    [InlineData(100_000, int.MaxValue)]
    public async Task Threads_exclude_each_other(int rounds, int yieldEvery)
    {
        ProductionRuntime runtime = new(1);
        KernelMutex mutex = new(Class);
        int counter = 0;
        SpawnedTask[] tasks = [.. Enumerable.Range(0, 8).Select(i => runtime.Spawn($"t{i}", async task =>
        {
            for (int round = 0; round < rounds; round++)
            {
                await mutex.LockAsync(task);
                int seen = counter;
                if (round % yieldEvery == 1)
                    await Task.Yield();
                counter = seen + 1;
                mutex.Unlock(task);
            }
        }))];
        KernelTask waiter = runtime.CreateTask("waiter");
        // A lost wake-up would leave a task asleep for ever.
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(30));
        foreach (SpawnedTask spawned in tasks)
            await spawned.JoinAsync(waiter).AsTask().WaitAsync(limit.Token);
        Assert.Equal(8 * rounds, counter);
    }
}

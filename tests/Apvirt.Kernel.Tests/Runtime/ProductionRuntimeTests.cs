using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Tests.Runtime;

/// <summary>The locks on the real thread pool.</summary>
public sealed class ProductionRuntimeTests
{
    private const int TaskCount = 8;
    private const int Rounds = 10_000;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
    private static readonly LockClass MutexClass = new("stressed mutex", LockKind.Mutex);
    private static readonly LockClass SemaphoreClass = new("stressed rwsem", LockKind.RwSemaphore);

    private readonly ProductionRuntime _runtime = new(1);

    [Fact]
    public async Task AMutexUnderStressLosesNoUpdate()
    {
        KernelMutex mutex = new(MutexClass);
        int counter = 0;
        await RunAsync(async (task, _) =>
        {
            for (int i = 0; i < Rounds; i++)
            {
                await mutex.LockAsync(task);
                counter++;
                mutex.Unlock(task);
            }
        });
        Assert.Equal(TaskCount * Rounds, counter);
        Assert.Null(mutex.Holder);
    }

    [Fact]
    public async Task ARwSemaphoreUnderStressLosesNoUpdateAndShowsNoHalfOne()
    {
        KernelRwSemaphore semaphore = new(SemaphoreClass);
        int left = 0;
        int right = 0;
        int torn = 0;
        await RunAsync(async (task, number) =>
        {
            for (int i = 0; i < Rounds; i++)
            {
                if ((i + number) % 2 == 0)
                {
                    await semaphore.LockWriteAsync(task);
                    left++;
                    right++;
                    semaphore.UnlockWrite(task);
                }
                else
                {
                    await semaphore.LockReadAsync(task);
                    if (left != right)
                        Interlocked.Increment(ref torn);
                    semaphore.UnlockRead(task);
                }
            }
        });
        Assert.Equal(0, torn);
        Assert.Equal(TaskCount * Rounds / 2, left);
        Assert.Equal(left, right);
    }

    [Fact]
    public async Task AJoinWaitsForTheEnd()
    {
        KernelTask joiner = _runtime.CreateTask("joiner");
        KernelMutex mutex = new(MutexClass);
        SpawnedTask delayed = _runtime.Spawn("delayed", async task =>
        {
            await _runtime.DelayAsync(task, TimeSpan.FromMilliseconds(1));
            await mutex.LockAsync(task);
            mutex.Unlock(task);
        });
        await delayed.JoinAsync(joiner).AsTask().WaitAsync(Limit);
        Assert.True(delayed.IsCompleted);
    }

    private async Task RunAsync(Func<KernelTask, int, ValueTask> body)
    {
        KernelTask joiner = _runtime.CreateTask("joiner");
        List<SpawnedTask> tasks = [];
        for (int i = 0; i < TaskCount; i++)
        {
            int number = i;
            tasks.Add(_runtime.Spawn($"task {i}", task => body(task, number)));
        }
        foreach (SpawnedTask task in tasks)
            await task.JoinAsync(joiner).AsTask().WaitAsync(Limit);
    }
}

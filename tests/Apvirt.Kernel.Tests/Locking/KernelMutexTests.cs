using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Tests.Locking;

public sealed class KernelMutexTests
{
    private static readonly LockClass TestClass = new("test mutex", LockKind.Mutex);

    private readonly SimulationRuntime _runtime = new();
    private readonly KernelMutex _mutex = new(TestClass);

    public static TheoryData<bool> BothRuntimes { get; } = [true, false];

    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    [InlineData(1234567)]
    public void WaitersAreServedInTheOrderOfTheirArrival(ulong seed)
    {
        SimulationRuntime runtime = new(seed);
        KernelTask holder = runtime.CreateTask("holder");
        Assert.True(_mutex.TryLock(holder));
        List<int> arrived = [];
        List<int> served = [];
        for (int i = 0; i < 10; i++)
        {
            int number = i;
            runtime.Spawn($"waiter {i}", async task =>
            {
                arrived.Add(number);
                await _mutex.LockAsync(task);
                served.Add(number);
                await runtime.DelayAsync(task, TimeSpan.FromMilliseconds(1));
                _mutex.Unlock(task);
            });
        }
        runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(10, arrived.Count);
        Assert.Empty(served);
        _mutex.Unlock(holder);
        runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(arrived, served);
        Assert.Null(_mutex.Holder);
    }

    [Fact]
    public void ReleasingHandsTheMutexToTheFirstWaiterSoThatNobodyOvertakes()
    {
        KernelTask holder = _runtime.CreateTask("holder");
        KernelTask waiter = _runtime.CreateTask("waiter");
        KernelTask passer = _runtime.CreateTask("passer");
        Assert.True(_mutex.TryLock(holder));
        ValueTask wait = _mutex.LockAsync(waiter);
        Assert.False(wait.IsCompleted);
        _mutex.Unlock(holder);
        Assert.Same(waiter, _mutex.Holder);
        Assert.False(_mutex.TryLock(passer));
        Assert.True(_runtime.Drive(wait));
        _mutex.Unlock(waiter);
        Assert.True(_mutex.TryLock(passer));
    }

    [Theory]
    [MemberData(nameof(BothRuntimes))]
    public void AnUncontendedLockCompletesSynchronouslyAndAllocatesNothing(bool isSimulation)
    {
        KernelRuntime runtime = isSimulation ? new SimulationRuntime() : new ProductionRuntime(1);
        KernelTask task = runtime.CreateTask("only");
        bool allSynchronous = true;
        for (int i = 0; i < 100; i++)
            allSynchronous &= LockOnce(task);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10_000; i++)
            allSynchronous &= LockOnce(task);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(allSynchronous);
        Assert.Equal(0, allocated);
    }

    [Theory]
    [MemberData(nameof(BothRuntimes))]
    public void TryLockTakesOnlyAFreeMutex(bool isSimulation)
    {
        KernelRuntime runtime = isSimulation ? new SimulationRuntime() : new ProductionRuntime(1);
        KernelTask first = runtime.CreateTask("first");
        KernelTask second = runtime.CreateTask("second");
        Assert.True(_mutex.TryLock(first));
        Assert.Same(first, _mutex.Holder);
        Assert.False(_mutex.TryLock(second));
        Assert.False(second.Holds(_mutex));
        _mutex.Unlock(first);
        Assert.True(_mutex.TryLock(second));
    }

    [Fact]
    public void UnlockingSomebodyElsesMutexIsABug()
    {
        KernelTask holder = _runtime.CreateTask("holder");
        KernelTask thief = _runtime.CreateTask("thief");
        Assert.Throws<InvalidOperationException>(() => _mutex.Unlock(thief));
        Assert.True(_mutex.TryLock(holder));
        Assert.Throws<InvalidOperationException>(() => _mutex.Unlock(thief));
        Assert.Same(holder, _mutex.Holder);
    }

    [Fact]
    public void ASignalEndsAnInterruptibleWaitAndLeavesTheQueueIntact()
    {
        KernelTask holder = _runtime.CreateTask("holder");
        Assert.True(_mutex.TryLock(holder));
        List<string> served = [];
        SpawnedTask first = Queue("first", served);
        Errno answer = Errno.Ok;
        SpawnedTask interrupted = _runtime.Spawn("interrupted", async task => answer = await _mutex.LockInterruptibleAsync(task));
        SpawnedTask last = Queue("last", served);
        _runtime.Advance(TimeSpan.Zero);
        interrupted.Task.Interrupt();
        _runtime.Advance(TimeSpan.Zero);
        Assert.True(interrupted.IsCompleted);
        Assert.Equal(Errno.EINTR, answer);
        Assert.False(interrupted.Task.Holds(_mutex));
        Assert.Empty(served);
        _mutex.Unlock(holder);
        _runtime.Advance(TimeSpan.Zero);
        Assert.True(first.IsCompleted && last.IsCompleted);
        Assert.Equal(["first", "last"], served);
    }

    [Fact]
    public void OnlyABlockedWaitIsInterrupted()
    {
        KernelTask task = _runtime.CreateTask("signalled");
        task.Interrupt();
        Assert.Equal(Errno.Ok, _runtime.Drive(_mutex.LockInterruptibleAsync(task)));
        KernelTask other = _runtime.CreateTask("also signalled");
        other.Interrupt();
        Assert.Equal(Errno.EINTR, _runtime.Drive(_mutex.LockInterruptibleAsync(other)));
        Assert.Same(task, _mutex.Holder);
    }

    [Fact]
    public void AnOrdinaryWaitIgnoresSignals()
    {
        KernelTask holder = _runtime.CreateTask("holder");
        KernelTask waiter = _runtime.CreateTask("waiter");
        Assert.True(_mutex.TryLock(holder));
        ValueTask wait = _mutex.LockAsync(waiter);
        waiter.Interrupt();
        _runtime.Advance(TimeSpan.Zero);
        Assert.False(wait.IsCompleted);
        _mutex.Unlock(holder);
        Assert.True(_runtime.Drive(wait));
    }

    private SpawnedTask Queue(string name, List<string> served) => _runtime.Spawn(name, async task =>
    {
        await _mutex.LockAsync(task);
        served.Add(name);
        _mutex.Unlock(task);
    });

    private bool LockOnce(KernelTask task)
    {
        ValueTask taken = _mutex.LockAsync(task);
        bool isSynchronous = taken.IsCompletedSuccessfully;
        _mutex.Unlock(task);
        return isSynchronous;
    }
}

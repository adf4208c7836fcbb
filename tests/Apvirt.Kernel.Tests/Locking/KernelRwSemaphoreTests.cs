using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Tests.Locking;

public sealed class KernelRwSemaphoreTests
{
    private static readonly LockClass TestClass = new("test rwsem", LockKind.RwSemaphore);

    private readonly SimulationRuntime _runtime = new();
    private readonly KernelRwSemaphore _semaphore = new(TestClass);

    [Fact]
    public void ReadersGoTogetherAndAWriterGoesAlone()
    {
        KernelTask first = _runtime.CreateTask("reader 1");
        KernelTask second = _runtime.CreateTask("reader 2");
        KernelTask writer = _runtime.CreateTask("writer");
        Assert.True(_semaphore.LockReadAsync(first).IsCompletedSuccessfully);
        Assert.True(_semaphore.LockReadAsync(second).IsCompletedSuccessfully);
        Assert.False(_semaphore.TryLockWrite(writer));
        ValueTask write = _semaphore.LockWriteAsync(writer);
        _semaphore.UnlockRead(first);
        Assert.False(writer.Holds(_semaphore));
        _semaphore.UnlockRead(second);
        Assert.True(_runtime.Drive(write));
        Assert.False(_semaphore.TryLockRead(first));
        Assert.False(_semaphore.TryLockWrite(second));
        _semaphore.UnlockWrite(writer);
        Assert.True(_semaphore.TryLockWrite(second));
    }

    [Fact]
    public void AReaderBehindAWaitingWriterWaits()
    {
        KernelTask reader = _runtime.CreateTask("reader");
        KernelTask writer = _runtime.CreateTask("writer");
        KernelTask late = _runtime.CreateTask("late reader");
        Assert.True(_semaphore.TryLockRead(reader));
        ValueTask write = _semaphore.LockWriteAsync(writer);
        Assert.False(_semaphore.TryLockRead(late));
        ValueTask read = _semaphore.LockReadAsync(late);
        Assert.False(read.IsCompleted);
        _semaphore.UnlockRead(reader);
        Assert.True(writer.Holds(_semaphore));
        Assert.False(late.Holds(_semaphore));
        Assert.True(_runtime.Drive(write));
        _semaphore.UnlockWrite(writer);
        Assert.True(_runtime.Drive(read));
    }

    [Fact]
    public void WaitersAreAdmittedInOrderAndNeighbouringReadersTogether()
    {
        KernelTask holder = _runtime.CreateTask("holder");
        Assert.True(_semaphore.TryLockWrite(holder));
        List<string> log = [];
        foreach (string name in (string[])["r1", "r2", "w1", "r3", "w2"])
        {
            _runtime.Spawn(name, async task =>
            {
                bool reads = name[0] == 'r';
                await (reads ? _semaphore.LockReadAsync(task) : _semaphore.LockWriteAsync(task));
                log.Add("+" + name);
                await _runtime.DelayAsync(task, TimeSpan.FromMilliseconds(10));
                log.Add("-" + name);
                if (reads)
                    _semaphore.UnlockRead(task);
                else
                    _semaphore.UnlockWrite(task);
            });
        }
        _runtime.Advance(TimeSpan.Zero);
        _semaphore.UnlockWrite(holder);
        _runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(["+r1", "+r2", "-r1", "-r2", "+w1", "-w1", "+r3", "-r3", "+w2", "-w2"], log);
    }

    [Fact]
    public void ReleasingWhatIsNotHeldIsABug()
    {
        KernelTask task = _runtime.CreateTask("task");
        Assert.Throws<InvalidOperationException>(() => _semaphore.UnlockRead(task));
        Assert.Throws<InvalidOperationException>(() => _semaphore.UnlockWrite(task));
        KernelTask reader = _runtime.CreateTask("reader");
        Assert.True(_semaphore.TryLockRead(reader));
        Assert.Throws<InvalidOperationException>(() => _semaphore.UnlockWrite(reader));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void UncontendedUseAllocatesNothing(bool isSimulation)
    {
        KernelRuntime runtime = isSimulation ? new SimulationRuntime() : new ProductionRuntime(1);
        KernelTask task = runtime.CreateTask("only");
        bool allSynchronous = true;
        for (int i = 0; i < 100; i++)
            allSynchronous &= UseOnce(task);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10_000; i++)
            allSynchronous &= UseOnce(task);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(allSynchronous);
        Assert.Equal(0, allocated);
    }

    private bool UseOnce(KernelTask task)
    {
        bool read = _semaphore.LockReadAsync(task).IsCompletedSuccessfully;
        _semaphore.UnlockRead(task);
        bool write = _semaphore.LockWriteAsync(task).IsCompletedSuccessfully;
        _semaphore.UnlockWrite(task);
        return read && write;
    }
}

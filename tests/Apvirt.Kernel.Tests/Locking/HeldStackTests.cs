using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Tests.Locking;

/// <summary>The stack of held locks that each task owns (DESIGN.md).</summary>
public sealed class HeldStackTests
{
    private static readonly LockClass MutexClass = new("mutex", LockKind.Mutex);
    private static readonly LockClass SemaphoreClass = new("rwsem", LockKind.RwSemaphore);
    private static readonly LockClass SpinClass = new("spin", LockKind.Spin);

    private readonly SimulationRuntime _runtime = new();

    [Fact]
    public void HeldLocksAreListedOutermostFirstWithTheirMode()
    {
        KernelTask task = _runtime.CreateTask("task");
        KernelMutex mutex = new(MutexClass);
        KernelRwSemaphore semaphore = new(SemaphoreClass);
        KernelSpinLock spin = new(SpinClass);
        Assert.True(mutex.TryLock(task));
        Assert.True(semaphore.TryLockRead(task));
        using (spin.Lock(task))
        {
            Assert.Equal(
                [new HeldLock(mutex, LockMode.Write), new HeldLock(semaphore, LockMode.Read), new HeldLock(spin, LockMode.Write)],
                task.Held.ToArray());
        }
        Assert.False(task.Holds(spin));
        Assert.True(task.Holds(semaphore));
        Assert.Equal("rwsem(r)", task.Held[1].ToString());
    }

    [Fact]
    public void ReleasingOutOfOrderKeepsTheOrderOfTheRest()
    {
        KernelTask task = _runtime.CreateTask("task");
        KernelMutex[] mutexes = [.. Enumerable.Range(0, 20).Select(_ => new KernelMutex(MutexClass))];
        foreach (KernelMutex mutex in mutexes)
            Assert.True(mutex.TryLock(task));
        Assert.Equal(20, task.Held.Length);
        mutexes[3].Unlock(task);
        mutexes[0].Unlock(task);
        mutexes[19].Unlock(task);
        List<KernelLock> expected = [.. mutexes];
        expected.Remove(mutexes[0]);
        expected.Remove(mutexes[3]);
        expected.Remove(mutexes[19]);
        Assert.Equal(expected, task.Held.ToArray().Select(held => held.Lock));
    }

    [Fact]
    public void AWaiterHoldsTheLockFromTheMomentOfTheHandOver()
    {
        KernelTask holder = _runtime.CreateTask("holder");
        KernelTask waiter = _runtime.CreateTask("waiter");
        KernelMutex mutex = new(MutexClass);
        Assert.True(mutex.TryLock(holder));
        ValueTask wait = mutex.LockAsync(waiter);
        Assert.False(waiter.Holds(mutex));
        mutex.Unlock(holder);
        Assert.False(holder.Holds(mutex));
        Assert.True(waiter.Holds(mutex));
        _runtime.Drive(wait);
    }

    [Fact]
    public void ATaskThatEndsHoldingALockIsABug()
    {
        KernelMutex mutex = new(MutexClass);
        _runtime.Spawn("forgetful", async task => await mutex.LockAsync(task));
        InvalidOperationException bug = Assert.Throws<InvalidOperationException>(() => _runtime.Advance(TimeSpan.Zero));
        Assert.Contains("forgetful", bug.Message, StringComparison.Ordinal);
    }
}

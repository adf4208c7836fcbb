using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Tests.Locking;

public sealed class SharedLockTests
{
    [Fact]
    public void Readers_share_a_writer_is_alone_and_a_reader_waits_behind_a_waiting_writer()
    {
        SimulationRuntime runtime = new();
        KernelRwSemaphore semaphore = new(new LockClass("rw", LockKind.RwSemaphore));
        KernelTask reader = runtime.CreateTask("reader");
        KernelTask other = runtime.CreateTask("other");
        Assert.True(semaphore.TryLockRead(reader));
        Assert.True(semaphore.TryLockRead(other));
        List<string> order = [];
        runtime.Spawn("writer", async task =>
        {
            await semaphore.LockWriteAsync(task);
            order.Add("writer");
            semaphore.UnlockWrite(task);
        });
        runtime.Spawn("late", async task =>
        {
            await semaphore.LockReadAsync(task);
            order.Add("late");
            semaphore.UnlockRead(task);
        });
        runtime.Advance(TimeSpan.Zero);
        Assert.Empty(order);
        Assert.False(semaphore.TryLockRead(runtime.CreateTask("third")));
        semaphore.UnlockRead(reader);
        runtime.Advance(TimeSpan.Zero);
        Assert.Empty(order);
        semaphore.UnlockRead(other);
        runtime.Advance(TimeSpan.Zero);
        Assert.Equal(["writer", "late"], order);
    }

    [Fact]
    public void Deletion_waits_for_running_operations_and_refuses_new_ones()
    {
        SimulationRuntime runtime = new();
        ActiveReferences files = new(new LockClass("kn_active", LockKind.ActiveReference));
        KernelTask reader = runtime.CreateTask("reader");
        Assert.True(files.TryEnter(reader));
        bool deleted = false;
        runtime.Spawn("deleter", async task =>
        {
            await files.DeleteAsync(task);
            deleted = true;
        });
        runtime.Advance(TimeSpan.Zero);
        Assert.False(deleted);
        Assert.False(files.TryEnter(runtime.CreateTask("late")));
        files.Exit(reader);
        runtime.Advance(TimeSpan.Zero);
        Assert.True(deleted);
        files.Revive();
        Assert.True(files.TryEnter(reader));
    }
}

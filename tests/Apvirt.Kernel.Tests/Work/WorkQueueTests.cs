using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Work;

namespace Apvirt.Kernel.Tests.Work;

/// <summary>An ordered work queue: one item after another, on one worker.</summary>
public sealed class WorkQueueTests
{
    private readonly SimulationRuntime _runtime = new(seed: 3);
    private readonly WorkQueue _queue;
    private readonly List<string> _log = [];

    public WorkQueueTests() => _queue = new WorkQueue(_runtime, "worker");

    [Fact]
    public void ItemsAreDoneOneAfterAnotherInTheOrderOfTheirQueueing()
    {
        WorkItem[] items = [.. Enumerable.Range(0, 6).Select(i => Item($"{i}"))];
        foreach (WorkItem item in items)
            Assert.True(_queue.Queue(item));
        Assert.Empty(_log);
        _runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(Enumerable.Range(0, 6).SelectMany(i => (string[])[$"+{i}", $"-{i}"]), _log);
    }

    [Fact]
    public void AnItemThatHasNotBegunIsNotQueuedTwiceButOneThatRunsIs()
    {
        WorkItem item = Item("x");
        Assert.True(_queue.Queue(item));
        Assert.False(_queue.Queue(item));
        _runtime.Advance(TimeSpan.FromMilliseconds(5));
        Assert.Equal(["+x"], _log);
        Assert.True(_queue.Queue(item));
        Assert.False(_queue.Queue(item));
        _runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(["+x", "-x", "+x", "-x"], _log);
    }

    [Fact]
    public void AFlushWaitsUntilTheItemIsNeitherQueuedNorRunning()
    {
        WorkItem first = Item("first");
        WorkItem second = Item("second");
        _queue.Queue(first);
        _queue.Queue(second);
        KernelTask task = _runtime.CreateTask("flusher");
        Assert.True(_runtime.Drive(_queue.FlushAsync(task, second)));
        Assert.Equal(["+first", "-first", "+second", "-second"], _log);
        Assert.True(_queue.FlushAsync(task, second).IsCompletedSuccessfully);
    }

    [Fact]
    public void AFlushOfAnItemThatRunsAndIsQueuedAgainWaitsForBoth()
    {
        WorkItem item = Item("x");
        _queue.Queue(item);
        _runtime.Advance(TimeSpan.FromMilliseconds(5));
        _queue.Queue(item);
        Assert.True(_runtime.Drive(_queue.FlushAsync(_runtime.CreateTask("flusher"), item)));
        Assert.Equal(["+x", "-x", "+x", "-x"], _log);
    }

    [Fact]
    public void RunningAnItemOnAnIdleQueueDoesItInPlace()
    {
        bool isDone = false;
        WorkItem item = new(new LockClass("quick", LockKind.Wait), _ =>
        {
            isDone = true;
            return default;
        });
        ValueTask run = _queue.RunAsync(_runtime.CreateTask("caller"), item);
        Assert.True(run.IsCompletedSuccessfully);
        Assert.True(isDone);
    }

    [Fact]
    public void RunningAnItemOnABusyQueueWaitsItsTurn()
    {
        _queue.Queue(Item("busy"));
        _runtime.Advance(TimeSpan.FromMilliseconds(5));
        KernelTask caller = _runtime.CreateTask("caller");
        Assert.True(_runtime.Drive(_queue.RunAsync(caller, Item("late"))));
        Assert.Equal(["+busy", "-busy", "+late", "-late"], _log);
    }

    [Fact]
    public void AnItemQueuedWhileAnotherRunsInPlaceFollowsIt()
    {
        SpawnedTask caller = _runtime.Spawn("caller", task => _queue.RunAsync(task, Item("in place")));
        _runtime.Advance(TimeSpan.FromMilliseconds(5));
        _queue.Queue(Item("queued"));
        _runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.True(caller.IsCompleted);
        Assert.Equal(["+in place", "-in place", "+queued", "-queued"], _log);
    }

    [Fact]
    public void ABugInAnItemSurfaces()
    {
        _queue.Queue(new WorkItem(new LockClass("buggy", LockKind.Wait), async task =>
        {
            await _runtime.DelayAsync(task, TimeSpan.FromMilliseconds(1));
            throw new ArgumentException("the bug");
        }));
        Assert.Throws<ArgumentException>(() => _runtime.Advance(TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public void ABugInAnItemRunInPlaceReachesTheCaller()
    {
        WorkItem item = new(new LockClass("buggy", LockKind.Wait), async task =>
        {
            await _runtime.DelayAsync(task, TimeSpan.FromMilliseconds(1));
            throw new ArgumentException("the bug");
        });
        Assert.Throws<ArgumentException>(() => _runtime.Drive(_queue.RunAsync(_runtime.CreateTask("caller"), item)));
    }

    private WorkItem Item(string name) => new(new LockClass(name, LockKind.Wait), async task =>
    {
        _log.Add("+" + name);
        await _runtime.DelayAsync(task, TimeSpan.FromMilliseconds(10));
        _log.Add("-" + name);
    });
}

using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Tests.Waiting;

public sealed class CompletionTests
{
    private readonly SimulationRuntime _runtime = new();
    private readonly Completion _completion;
    private readonly List<string> _through = [];

    public CompletionTests() => _completion = new Completion(_runtime, "test");

    [Fact]
    public void CompleteLetsOneWaiterThroughAndCompleteAllTheRest()
    {
        foreach (string name in (string[])["a", "b", "c"])
            Wait(name);
        _runtime.Advance(TimeSpan.Zero);
        Assert.Empty(_through);
        _completion.Complete();
        _runtime.Advance(TimeSpan.Zero);
        Assert.Equal(["a Done"], _through);
        _completion.CompleteAll();
        _runtime.Advance(TimeSpan.Zero);
        Assert.Equal(["a Done", "b Done", "c Done"], _through);
        Assert.True(_completion.IsDone);
        Assert.True(_completion.WaitAsync(_runtime.CreateTask("late")).IsCompletedSuccessfully);
        Assert.True(_completion.WaitAsync(_runtime.CreateTask("later")).IsCompletedSuccessfully);
    }

    [Fact]
    public void CompletionsBeforeTheWaitsAreCounted()
    {
        _completion.Complete();
        _completion.Complete();
        KernelTask task = _runtime.CreateTask("task");
        Assert.True(_completion.WaitAsync(task).IsCompletedSuccessfully);
        Assert.True(_completion.WaitAsync(task).IsCompletedSuccessfully);
        Assert.False(_completion.IsDone);
        Assert.False(_completion.WaitAsync(task).IsCompleted);
    }

    [Fact]
    public void ResetTakesACompletionBack()
    {
        _completion.CompleteAll();
        _completion.Reset();
        Assert.False(_completion.IsDone);
        Assert.False(_completion.WaitAsync(_runtime.CreateTask("task")).IsCompleted);
    }

    [Fact]
    public void ALimitedWaitEndsExactlyAtItsLimit()
    {
        KernelTask task = _runtime.CreateTask("task");
        WaitResult answer = _runtime.Drive(_completion.WaitAsync(task, TimeSpan.FromSeconds(3)));
        Assert.Equal(WaitResult.TimedOut, answer);
        Assert.Equal(TimeSpan.FromSeconds(3), _runtime.Now);
        _completion.Complete();
        Assert.True(_completion.IsDone);
    }

    [Fact]
    public void ALimitedWaitEndsAtTheCompletionAndItsTimerTouchesNoLaterWait()
    {
        SpawnedTask waiter = _runtime.Spawn("waiter", async task =>
        {
            _through.Add($"{await _completion.WaitAsync(task, TimeSpan.FromSeconds(3))} {_runtime.Now.TotalSeconds}");
            _through.Add($"{await _completion.WaitAsync(task, TimeSpan.FromSeconds(10))} {_runtime.Now.TotalSeconds}");
        });
        _runtime.Advance(TimeSpan.FromSeconds(1));
        _completion.Complete();
        _runtime.Advance(TimeSpan.FromSeconds(20));
        Assert.True(waiter.IsCompleted);
        Assert.Equal(["Done 1", "TimedOut 11"], _through);
    }

    [Fact]
    public void ASignalEndsOnlyAnInterruptibleWait()
    {
        SpawnedTask stubborn = Wait("stubborn");
        SpawnedTask first = Wait("interruptible", interruptible: true);
        SpawnedTask last = Wait("last", interruptible: true);
        _runtime.Advance(TimeSpan.Zero);
        stubborn.Task.Interrupt();
        first.Task.Interrupt();
        _runtime.Advance(TimeSpan.Zero);
        Assert.Equal(["interruptible Interrupted"], _through);
        _completion.Complete();
        _completion.Complete();
        _runtime.Advance(TimeSpan.Zero);
        Assert.Equal(["interruptible Interrupted", "stubborn Done", "last Done"], _through);
        Assert.True(last.IsCompleted);
        Assert.False(_completion.IsDone);
    }

    [Fact]
    public void AfterASignalAnInterruptibleWaitDoesNotBegin()
    {
        KernelTask task = _runtime.CreateTask("task");
        task.Interrupt();
        Assert.Equal(WaitResult.Interrupted, _runtime.Drive(_completion.WaitAsync(task, interruptible: true)));
        Assert.Equal(
            WaitResult.Interrupted, _runtime.Drive(_completion.WaitAsync(task, TimeSpan.FromSeconds(5), interruptible: true)));
        Assert.Equal(TimeSpan.Zero, _runtime.Now);
    }

    private SpawnedTask Wait(string name, bool interruptible = false) => _runtime.Spawn(
        name, async task => _through.Add($"{name} {await _completion.WaitAsync(task, interruptible)}"));
}

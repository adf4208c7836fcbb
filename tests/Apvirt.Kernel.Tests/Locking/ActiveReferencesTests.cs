using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Tests.Locking;

/// <summary>kn_active, lock class L1 of locking.md: a deletion waits for all running operations.</summary>
public sealed class ActiveReferencesTests
{
    private static readonly LockClass TestClass = new("kn_active(test)", LockKind.ActiveReference);
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    private readonly ActiveReferences _files = new(TestClass);

    public static TheoryData<bool> BothRuntimes { get; } = [true, false];

    [Theory]
    [MemberData(nameof(BothRuntimes))]
    public async Task DeletionWaitsForAllRunningOperations(bool isSimulation)
    {
        KernelRuntime runtime = Make(isSimulation);
        KernelTask first = runtime.CreateTask("first");
        KernelTask second = runtime.CreateTask("second");
        KernelTask deleter = runtime.CreateTask("deleter");
        Assert.True(_files.TryEnter(first));
        Assert.True(_files.TryEnter(second));
        Assert.Equal([new HeldLock(_files, LockMode.Read)], first.Held.ToArray());
        ValueTask deletion = _files.DeleteAsync(deleter);
        Assert.True(_files.IsDeleted(runtime));
        Assert.False(deletion.IsCompleted);
        _files.Exit(first);
        Assert.False(deletion.IsCompleted);
        Assert.False(_files.TryEnter(first));
        _files.Exit(second);
        await EndAsync(runtime, deletion);
        Assert.True(second.Held.IsEmpty);
    }

    [Theory]
    [MemberData(nameof(BothRuntimes))]
    public void AfterADeletionNobodyEntersUntilTheFilesAreRevived(bool isSimulation)
    {
        KernelRuntime runtime = Make(isSimulation);
        KernelTask task = runtime.CreateTask("task");
        Assert.True(_files.DeleteAsync(task).IsCompletedSuccessfully);
        for (int i = 0; i < 3; i++)
            Assert.False(_files.TryEnter(task));
        Assert.True(task.Held.IsEmpty);
        _files.Revive(task);
        Assert.False(_files.IsDeleted(runtime));
        Assert.True(_files.TryEnter(task));
        _files.Exit(task);
    }

    [Theory]
    [MemberData(nameof(BothRuntimes))]
    public async Task ASecondLifeEndsAsTheFirst(bool isSimulation)
    {
        KernelRuntime runtime = Make(isSimulation);
        KernelTask task = runtime.CreateTask("task");
        KernelTask deleter = runtime.CreateTask("deleter");
        for (int life = 0; life < 3; life++)
        {
            Assert.True(_files.TryEnter(task));
            ValueTask deletion = _files.DeleteAsync(deleter);
            Assert.False(deletion.IsCompleted);
            _files.Exit(task);
            await EndAsync(runtime, deletion);
            _files.Revive(task);
        }
    }

    private static KernelRuntime Make(bool isSimulation) => isSimulation ? new SimulationRuntime() : new ProductionRuntime(1);

    private static async Task EndAsync(KernelRuntime runtime, ValueTask operation)
    {
        if (runtime is SimulationRuntime simulation)
            Assert.True(simulation.Drive(operation));
        else
            await operation.AsTask().WaitAsync(Limit);
    }
}

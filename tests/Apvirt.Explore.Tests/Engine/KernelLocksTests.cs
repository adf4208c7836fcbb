using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;
using Apvirt.Explore.Searches;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Explore.Tests.Engine;

/// <summary>The same exact answers with the kernel's own locks and tasks.</summary>
public sealed class KernelLocksTests
{
    private static readonly LockClass TestClass = new("test", LockKind.Mutex);

    public static TheoryData<string> Names => [.. KnownPrograms.All.Select(p => p.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Each_trace_of_kernel_mutexes_is_executed_once(string name)
    {
        KnownProgram known = KnownPrograms.All.Single(p => p.Name == name);
        KernelExplored program = new(numbers => new ExplorationRuntime { Numbers = numbers }, (runtime, listener) =>
        {
            KernelMutex[] locks = [.. Enumerable.Range(0, known.Program.Objects).Select(i => new KernelMutex(TestClass, owner: i))];
            runtime.Begin(listener);
            foreach (Instruction[] code in known.Program.Tasks)
            {
                runtime.Spawn("task", async task =>
                {
                    foreach (Instruction instruction in code)
                    {
                        if (instruction.Kind == StepKind.Lock)
                            await locks[instruction.Object].LockAsync(task);
                        else
                            locks[instruction.Object].Unlock(task);
                    }
                });
            }
        });
        ExploreResult result = Search.Run(program);
        ExploreResult hashed = new Search(new ExploreOptions { Strategy = Strategy.Hashed }, () => new SearchWorker(program, null)).Run();
        Assert.Equal((Verdict.Exhausted, known.Traces, known.Deadlocked, null), (hashed.Verdict, hashed.Executions, hashed.Deadlocks, hashed.Hole));
        Assert.Equal((Verdict.Exhausted, known.Traces, known.Deadlocked), (result.Verdict, result.Executions, result.Deadlocks));
        Assert.True(result.Blocked * 5 <= result.Executions, $"{result.Blocked} blocked of {result.Executions}");
    }
}

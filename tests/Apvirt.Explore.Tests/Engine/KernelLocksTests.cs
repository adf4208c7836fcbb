using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Explore.Tests.Engine;

/// <summary>The same exact answers with the kernel's own locks and tasks.</summary>
public sealed class KernelLocksTests
{
    private static readonly LockClass TestClass = new("test", LockKind.Mutex);
    private static readonly LockClass SemaphoreClass = new("semaphore", LockKind.RwSemaphore);

    public static TheoryData<string> Names => [.. KnownPrograms.All.Select(p => p.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Each_trace_of_kernel_mutexes_is_executed_once(string name)
    {
        KnownProgram known = KnownPrograms.All.Single(p => p.Name == name);
        KernelExplored program = new(() => new ExplorationRuntime(), (runtime, listener) =>
        {
            KernelMutex[] locks = [.. Enumerable.Range(0, known.Program.Objects).Select(_ => new KernelMutex(TestClass))];
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
        ExploreResult result = new Explorer(program).Run();
        Assert.Equal((Verdict.Exhausted, known.Traces, known.Deadlocked), (result.Verdict, result.Executions, result.Deadlocks));
        Assert.True(result.Blocked * 5 <= result.Executions, $"{result.Blocked} blocked of {result.Executions}");
    }

    // Each program twice: as it is, and with the kernel's mutexes and semaphores, of which some are only tried.
    [Fact]
    public void Random_programs_have_the_same_traces_with_kernel_locks()
    {
        Random random = new(4);
        int trying = 0;
        long compared = 0;
        for (int i = 0; i < 1000; i++)
        {
            LockProgram program = Make(random);
            ExploreResult model = new Explorer(new LockProgramRun(program), new ExploreOptions { ExecutionsMax = 2000 }).Run();
            if (model.Verdict != Verdict.Exhausted)
                continue;
            ExploreResult kernel = new Explorer(OnKernelLocks(program)).Run();
            string text = string.Join('\n', program.Tasks.Select(task => string.Join(' ', task.Select(x => $"{x.Kind}({x.Object})"))));
            Assert.True((model.Executions, model.Deadlocks) == (kernel.Executions, kernel.Deadlocks), $"{kernel} instead of {model} of\n{text}");
            trying += program.Tasks.Any(task => task.Any(x => x.Kind is StepKind.Try or StepKind.TryShared)) ? 1 : 0;
            compared += model.Executions;
        }
        Assert.InRange(trying, 300, 1000);
        Assert.InRange(compared, 5000, long.MaxValue);
    }

    // Objects 0 and 1 are mutexes, 2 is a semaphore.
    private static LockProgram Make(Random random)
    {
        Instruction[][] tasks = new Instruction[random.Next(2, 5)][];
        for (int i = 0; i < tasks.Length; i++)
        {
            List<Instruction> task = [];
            for (int left = random.Next(1, 3); left > 0; left--)
            {
                int outer = random.Next(3);
                List<Instruction> inner = [];
                if (random.Next(3) > 0)
                    Add(random, inner, (outer + random.Next(1, 3)) % 3, []);
                Add(random, task, outer, inner);
            }
            tasks[i] = [.. task];
        }
        return new LockProgram(3, tasks);
    }

    private static void Add(Random random, List<Instruction> task, int target, List<Instruction> inner)
    {
        bool isShared = target == 2 && random.Next(2) == 0;
        bool isTry = random.Next(4) == 0 && (target < 2 || isShared);
        inner.Add(new Instruction(isShared ? StepKind.UnlockShared : StepKind.Unlock, target));
        StepKind kind = isShared ? isTry ? StepKind.TryShared : StepKind.LockShared : isTry ? StepKind.Try : StepKind.Lock;
        task.Add(new Instruction(kind, target, isTry ? inner.Count : 0));
        task.AddRange(inner);
    }

    private static KernelExplored OnKernelLocks(LockProgram program)
    {
        bool[] isTried = [.. Enumerable.Range(0, 3).Select(target => program.Tasks.Any(task => task.Any(x => x.Object == target && x.Kind is StepKind.Try or StepKind.TryShared)))];
        return new KernelExplored(() => new ExplorationRuntime(), (runtime, listener) =>
        {
            KernelMutex[] mutexes = [new(TestClass), new(TestClass)];
            KernelRwSemaphore semaphore = new(SemaphoreClass);
            runtime.Begin(listener);
            foreach (Instruction[] code in program.Tasks)
            {
                runtime.Spawn("task", async task =>
                {
                    for (int at = 0; at < code.Length; at++)
                    {
                        Instruction next = code[at];
                        bool isDone = true;
                        switch (next.Kind)
                        {
                            case StepKind.LockShared: await semaphore.LockReadAsync(task); break;
                            case StepKind.TryShared: isDone = await semaphore.TryLockReadAsync(task); break;
                            case StepKind.UnlockShared: semaphore.UnlockRead(task); break;
                            case StepKind.Lock when next.Object == 2: await semaphore.LockWriteAsync(task); break;
                            case StepKind.Unlock when next.Object == 2 && isTried[2]: await semaphore.UnlockWriteAsync(task); break;
                            case StepKind.Unlock when next.Object == 2: semaphore.UnlockWrite(task); break;
                            case StepKind.Lock: await mutexes[next.Object].LockAsync(task); break;
                            case StepKind.Try: isDone = await mutexes[next.Object].TryLockAsync(task); break;
                            case StepKind.Unlock when isTried[next.Object]: await mutexes[next.Object].UnlockAsync(task); break;
                            default: mutexes[next.Object].Unlock(task); break;
                        }
                        at += isDone ? 0 : next.Skip;
                    }
                });
            }
        });
    }
}

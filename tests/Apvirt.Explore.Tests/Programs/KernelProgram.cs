using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;
using Apvirt.Explore.Searches;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Explore.Tests.Programs;

/// <summary>A program of locks on the kernel's own primitives: its objects are mutexes, semaphores, completions and shared fields.</summary>
internal sealed class KernelProgram
{
    private static readonly LockClass MutexClass = new("mutex", LockKind.Mutex);
    private static readonly LockClass SemaphoreClass = new("semaphore", LockKind.RwSemaphore);
    private static readonly SharedField Memory = new("memory", "programs decide for themselves what guards it");

    private readonly ProgramText _text;
    private readonly LockProgram _program;
    private readonly bool[] _isTried;
    private readonly Dictionary<int, object> _objects = [];
    private readonly Shared<int>[] _memory;
    private readonly int[] _at;
    private readonly List<int>[] _answers;

    internal KernelProgram(ProgramText text, KernelRuntime runtime)
    {
        _text = text;
        _program = text.Program;
        _memory = new Shared<int>[_program.Objects];
        _isTried = new bool[_program.Objects];
        _at = new int[_program.Tasks.Length];
        _answers = [.. _program.Tasks.Select(_ => new List<int>())];
        foreach (Instruction next in _program.Tasks.SelectMany(task => task))
        {
            _isTried[next.Object] |= next.Kind is StepKind.Try or StepKind.TryShared;
            string name = text.Objects[next.Object];
            _objects.TryAdd(next.Object, next.Kind switch
            {
                StepKind.Read or StepKind.Write => name,
                StepKind.Wait or StepKind.WaitFor or StepKind.Complete or StepKind.CompleteAll or StepKind.Reset => new Completion(runtime, name),
                _ when _program.IsShared[next.Object] => new KernelRwSemaphore(SemaphoreClass, owner: name),
                _ => new KernelMutex(MutexClass, owner: name),
            });
        }
    }

    /// <summary>As <see cref="ProgramText.OutcomeOf"/>.</summary>
    internal string Outcome => string.Join(' ', _text.Tasks.Select((task, i) => $"{task}@{_at[i]}[{string.Join(',', _answers[i])}]"));

    internal void Start(KernelRuntime runtime)
    {
        for (int i = 0; i < _program.Tasks.Length; i++)
        {
            int own = i;
            runtime.Spawn(_text.Tasks[own], task => RunAsync(task, own));
        }
    }

    /// <summary>Explores it; outcomes and traces are those of the program if nothing is missing anywhere.</summary>
    internal static Found Explore(ProgramText text, ExploreOptions options)
    {
        SortedSet<string> outcomes = new(StringComparer.Ordinal);
        ExploreResult result = new Search(options, () =>
        {
            KernelProgram run = null!;
            KernelExplored program = new(numbers => new ExplorationRuntime { Numbers = numbers, EarlyMax = 10 }, (runtime, listener) =>
            {
                run = new KernelProgram(text, runtime);
                runtime.Begin(listener);
                run.Start(runtime);
            })
            { Answers = () => run.Outcome };
            return new SearchWorker(program, _ =>
            {
                outcomes.Add(run.Outcome);
                return true;
            });
        }).Run();
        return new Found(result, [.. outcomes]);
    }

    /// <summary>Runs it once in simulation, as a seed has it.</summary>
    internal static string Simulate(ProgramText text, ulong seed)
    {
        SimulationRuntime runtime = new(seed, preemptive: true);
        KernelProgram run = new(text, runtime);
        run.Start(runtime);
        runtime.Advance(TimeSpan.FromHours(1));
        return run.Outcome;
    }

    private async ValueTask RunAsync(KernelTask task, int own)
    {
        Instruction[] code = _program.Tasks[own];
        while (_at[own] < code.Length)
        {
            Instruction next = code[_at[own]];
            // What has no point of its own gets one: each instruction is a step.
            if (next.Kind is StepKind.Read or StepKind.Write or StepKind.Complete or StepKind.CompleteAll or StepKind.Reset
                || (next.Kind == StepKind.UnlockShared && _isTried[next.Object]))
                await task.Runtime.PointAsync(task, next.Kind.ToString(), PointKind.Begin);
            bool isDone = await DoAsync(task, own, next);
            _at[own] += isDone ? 1 : 1 + next.Skip;
        }
    }

    private async ValueTask<bool> DoAsync(KernelTask task, int own, Instruction next)
    {
        string name = _text.Objects[next.Object];
        object target = _objects[next.Object];
        switch (next.Kind)
        {
            case StepKind.Lock when target is KernelRwSemaphore semaphore: await semaphore.LockWriteAsync(task); return true;
            case StepKind.Lock: await ((KernelMutex)target).LockAsync(task); return true;
            case StepKind.LockShared: await ((KernelRwSemaphore)target).LockReadAsync(task); return true;
            case StepKind.Unlock when target is KernelRwSemaphore semaphore && _isTried[next.Object]: await semaphore.UnlockWriteAsync(task); return true;
            case StepKind.Unlock when target is KernelRwSemaphore semaphore: semaphore.UnlockWrite(task); return true;
            case StepKind.Unlock when _isTried[next.Object]: await ((KernelMutex)target).UnlockAsync(task); return true;
            case StepKind.Unlock: ((KernelMutex)target).Unlock(task); return true;
            case StepKind.UnlockShared: ((KernelRwSemaphore)target).UnlockRead(task); return true;
            case StepKind.Try when target is KernelRwSemaphore semaphore:
                if (task.HasPoints)
                    await task.Runtime.PointAsync(task, semaphore, PointKind.Try);
                return Answered(own, semaphore.TryLockWrite(task));
            case StepKind.Try: return Answered(own, await ((KernelMutex)target).TryLockAsync(task));
            case StepKind.TryShared: return Answered(own, await ((KernelRwSemaphore)target).TryLockReadAsync(task));
            case StepKind.Complete: ((Completion)target).Complete(); return true;
            case StepKind.CompleteAll: ((Completion)target).CompleteAll(); return true;
            case StepKind.Reset: ((Completion)target).Reset(); return true;
            case StepKind.Wait: await ((Completion)target).WaitAsync(task); return true;
            case StepKind.WaitFor: return Answered(own, await ((Completion)target).WaitAsync(task, TimeSpan.FromMilliseconds(10)) == WaitResult.Done);
            case StepKind.Write: _memory[next.Object].Write(task.Runtime, name, Memory, next.Value); return true;
            case StepKind.Read:
                int value = _memory[next.Object].Read(task.Runtime, name, Memory);
                _answers[own].Add(value);
                return value != 0;
            default: throw new InvalidOperationException($"nothing to do for {next.Kind}");
        }
    }

    private bool Answered(int own, bool succeeds)
    {
        _answers[own].Add(succeeds ? 1 : 0);
        return succeeds;
    }
}

using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Validation;

namespace Apvirt.Kernel.Tests.Validation;

/// <summary>
/// Runs a lock program told in one line, as the kernel's locking self-test has them: <c>;</c> separates tasks that run one
/// after the other, <c>A</c> takes mutex A, <c>-A</c> releases it, <c>?A</c> tries; <c>wX rX RX</c> take reader/writer lock X
/// exclusively, shared, or as a recursive reader, <c>-wX -rX -RX</c> release it. No task ever waits.
/// </summary>
internal sealed class SelfTest
{
    private readonly Dictionary<char, KernelMutex> _mutexes = [];
    private readonly Dictionary<char, KernelRwSemaphore> _semaphores = [];
    private readonly SimulationRuntime _runtime;

    internal SelfTest(DeclaredOrder? order = null, LockValidatorOptions? options = null)
    {
        Checks = new KernelChecks(order, options ?? new LockValidatorOptions { RequiresLifo = false, VerifiesChains = true });
        _runtime = new SimulationRuntime { Checks = Checks };
    }

    internal KernelChecks Checks { get; }

    internal static Violation[] Run(string program, DeclaredOrder? order = null)
    {
        SelfTest test = new(order);
        test.RunAll(program);
        return test.Checks.Violations.ToArray();
    }

    internal void RunAll(string program)
    {
        int number = 0;
        foreach (string part in program.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            KernelTask task = _runtime.CreateTask($"T{++number}");
            foreach (string step in part.Split(' ', StringSplitOptions.RemoveEmptyEntries))
                Step(task, step);
            // What a broken program leaves locked is not the next task's business.
            foreach (HeldLock held in task.Held.ToArray().Reverse())
            {
                if (held.Lock is KernelMutex mutex)
                    mutex.Unlock(task);
                else
                    Unlock((KernelRwSemaphore)held.Lock, task, held.Mode);
            }
        }
    }

    internal KernelMutex Mutex(char name) =>
        _mutexes.TryGetValue(name, out KernelMutex? mutex) ? mutex : _mutexes[name] = new KernelMutex(new LockClass(name.ToString(), LockKind.Mutex));

    private void Step(KernelTask task, string step)
    {
        bool releases = step[0] == '-';
        bool tries = step[0] == '?';
        string what = releases || tries ? step[1..] : step;
        if (what.Length == 1)
        {
            KernelMutex mutex = Mutex(what[0]);
            if (releases)
                mutex.Unlock(task);
            else if (tries)
                mutex.TryLock(task);
            else
                _ = mutex.LockAsync(task);
            return;
        }
        LockMode mode = what[0] switch { 'w' => LockMode.Write, 'r' => LockMode.Read, _ => LockMode.RecursiveRead };
        if (!_semaphores.TryGetValue(what[1], out KernelRwSemaphore? semaphore))
            _semaphores.Add(what[1], semaphore = new KernelRwSemaphore(new LockClass(what[1].ToString(), LockKind.RwSemaphore)));
        if (releases)
            Unlock(semaphore, task, mode);
        else
            _ = semaphore.LockAsync(task, mode);
    }

    private static void Unlock(KernelRwSemaphore semaphore, KernelTask task, LockMode mode)
    {
        if (mode == LockMode.Write)
            semaphore.UnlockWrite(task);
        else
            semaphore.UnlockRead(task);
    }
}

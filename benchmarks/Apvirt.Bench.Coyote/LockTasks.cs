namespace Apvirt.Bench.Coyote;

/// <summary>
/// The tasks of a program of locks as ordinary C#: what Coyote rewrites and then schedules. They write down who had which
/// lock in which order, in arrays, so that writing adds no scheduling points of its own.
/// </summary>
/// <param name="code">By task: number of the lock + 1 to take it, the same below 0 to release it.</param>
internal sealed class LockTasks(int[][] code)
{
    private readonly int[][] _order = [.. Enumerable.Range(0, Locks(code)).Select(_ => new int[code.Length])];
    private readonly int[] _taken = new int[Locks(code)];
    private readonly bool[] _hasEnded = new bool[code.Length];
    private object[] _locks = [];

    /// <summary>Whether some task of the last execution waits for ever.</summary>
    internal bool IsStuck => Array.Exists(_hasEnded, ended => !ended);

    /// <summary>The trace of the last execution: by lock, the tasks that had it in their order.</summary>
    internal string Trace => string.Join('|', _order.Select((tasks, i) => string.Join(',', tasks.Take(_taken[i]))));

    /// <summary>One execution.</summary>
    internal async Task RunAsync()
    {
        _locks = [.. _taken.Select(_ => new object())];
        Array.Clear(_taken);
        Array.Clear(_hasEnded);
        Task[] tasks = new Task[code.Length];
        for (int i = 0; i < tasks.Length; i++)
        {
            int task = i;
            tasks[i] = Task.Run(() => Run(task));
        }
        await Task.WhenAll(tasks);
    }

    private void Run(int task)
    {
        foreach (int instruction in code[task])
        {
            int target = Math.Abs(instruction) - 1;
            if (instruction < 0)
            {
                Monitor.Exit(_locks[target]);
                continue;
            }
            Monitor.Enter(_locks[target]);
            _order[target][_taken[target]++] = task;
        }
        _hasEnded[task] = true;
    }

    private static int Locks(int[][] code) => code.Max(task => task.Max());
}

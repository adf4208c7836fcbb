using Apvirt.Kernel.Runtime;

namespace Apvirt.Explore.Engine;

/// <summary>
/// A thread for each task, of which one runs at a time: a task can stand still in the middle of code that does not await.
/// Only for points before accesses and releases; elsewhere tasks share the thread of whoever explores.
/// </summary>
/// <param name="tasks">The most tasks.</param>
internal sealed class TaskThreads(int tasks) : IStepCarrier, IDisposable
{
    // No step takes this long: a task that does not come back waits for the thread of another, which stands in a section
    // that has to be one step.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly TaskThread?[] _threads = new TaskThread?[tasks];
    private readonly SemaphoreSlim _back = new(0);
    private bool _isAbandoned;

    /// <inheritdoc/>
    public void Run(int task, Action step)
    {
        TaskThread thread = _threads[task] ??= new TaskThread(_back, task);
        thread.Step = step;
        thread.Go.Release();
        Await(task);
    }

    /// <inheritdoc/>
    public void GoOn(int task)
    {
        _threads[task]!.Go.Release();
        Await(task);
    }

    /// <inheritdoc/>
    public void Stand(int task)
    {
        if (_isAbandoned)
            return;
        TaskThread thread = _threads[task]!;
        thread.Stands = true;
        _back.Release();
        thread.Go.Wait();
        thread.Stands = false;
        if (_isAbandoned)
            throw new OperationCanceledException("the execution is given up");
    }

    /// <summary>Ends the steps of all tasks that stand still, which nobody will look at any more.</summary>
    internal void Abandon()
    {
        _isAbandoned = true;
        foreach (TaskThread? thread in _threads)
        {
            if (thread is not { Stands: true })
                continue;
            thread.Go.Release();
            _back.Wait();
        }
        _isAbandoned = false;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Abandon();
        foreach (TaskThread? thread in _threads)
            thread?.Dispose();
        _back.Dispose();
    }

    private void Await(int task)
    {
        if (!_back.Wait(Patience))
            throw new InvalidOperationException($"task {task} waits for the thread of another task, which stands at a point");
        if (_threads[task]!.Bug is { } bug)
            throw new InvalidOperationException("a step ended with an exception", bug);
    }

    private sealed class TaskThread : IDisposable
    {
        private readonly SemaphoreSlim _back;
        private readonly Thread _thread;

        internal TaskThread(SemaphoreSlim back, int task)
        {
            _back = back;
            _thread = new Thread(Run) { IsBackground = true, Name = $"task {task}" };
            _thread.Start();
        }

        internal SemaphoreSlim Go { get; } = new(0);

        internal Action? Step { get; set; }

        internal bool Stands { get; set; }

        internal Exception? Bug { get; private set; }

        public void Dispose()
        {
            Step = null;
            Go.Release();
            _thread.Join();
            Go.Dispose();
        }

        private void Run()
        {
            while (true)
            {
                Go.Wait();
                if (Step is not { } step)
                    return;
                try
                {
                    step();
                }
                catch (OperationCanceledException)
                {
                }
                catch (Exception bug)
                {
                    Bug = bug;
                }
                _back.Release();
            }
        }
    }
}

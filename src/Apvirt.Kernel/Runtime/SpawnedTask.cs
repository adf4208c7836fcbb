using System.Runtime.ExceptionServices;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Kernel.Runtime;

/// <summary>A started task and its end.</summary>
public sealed class SpawnedTask : IThreadPoolWorkItem
{
    private readonly Func<KernelTask, ValueTask> _body;
    private readonly Completion _end;
    private ExceptionDispatchInfo? _failure;

    /// <summary>Makes a task that has not begun.</summary>
    /// <param name="task">Its identity.</param>
    /// <param name="body">What it does.</param>
    /// <param name="path">Who started it and as which, where tasks are known by that; null to know it by its name.</param>
    internal SpawnedTask(KernelTask task, Func<KernelTask, ValueTask> body, string? path = null)
    {
        Task = task;
        _end = new Completion(task.Runtime, path is null ? task.Name : $"task {path}");
        _body = body;
    }

    /// <summary>The task's identity.</summary>
    public KernelTask Task { get; }

    /// <summary>Whether the body has ended.</summary>
    public bool IsCompleted => _end.IsDone;

    /// <summary>The same for whoever schedules.</summary>
    internal bool IsOver => _end.IsOver;

    /// <summary>Waits for the end.</summary>
    /// <param name="waiter">The waiting task.</param>
    public async ValueTask JoinAsync(KernelTask waiter)
    {
        await _end.WaitAsync(waiter);
        ThrowIfFailed();
    }

    /// <summary>Passes on what the body threw: a bug, which must not be lost.</summary>
    public void ThrowIfFailed() => _failure?.Throw();

    void IThreadPoolWorkItem.Execute() => _ = RunAsync();

    private async ValueTask RunAsync()
    {
        try
        {
            await _body(Task);
            Task.ReturnToUser();
        }
        catch (Exception bug)
        {
            _failure = ExceptionDispatchInfo.Capture(bug);
            Task.Runtime.OnBug(_failure);
        }
        _end.CompleteAll();
    }
}

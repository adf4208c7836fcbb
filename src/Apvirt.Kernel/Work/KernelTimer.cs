using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Work;

/// <summary>A one-shot timer whose body runs as a task of its own when it is due.</summary>
public sealed class KernelTimer
{
    private readonly ITimer _timer;

    /// <summary>Makes a timer that is not set.</summary>
    /// <param name="runtime">Clock and scheduler.</param>
    /// <param name="name">Name of the task that a firing starts.</param>
    /// <param name="body">What to do when it is due.</param>
    public KernelTimer(KernelRuntime runtime, string name, Func<KernelTask, ValueTask> body)
    {
        _timer = runtime.Time.CreateTimer(
            _ => runtime.Spawn(name, body), state: null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Sets the timer, or sets it anew.</summary>
    /// <param name="due">Time from now.</param>
    public void Set(TimeSpan due) => _timer.Change(due, Timeout.InfiniteTimeSpan);

    /// <summary>Takes the setting back.</summary>
    public void Cancel() => _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
}

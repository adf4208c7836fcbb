using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Work;

/// <summary>
/// A one-shot timer whose body runs as a task of its own when it is due. Where exploration decides who goes on, it also decides
/// when the timer is due: while others can go on, or when nobody can (M132).
/// </summary>
public sealed class KernelTimer
{
    private readonly KernelRuntime _runtime;
    private readonly string _name;
    private readonly Func<KernelTask, ValueTask> _body;
    private readonly ITimer _timer;
    private Shared<int> _setting;

    /// <summary>Makes a timer that is not set.</summary>
    /// <param name="runtime">Clock and scheduler.</param>
    /// <param name="name">Name of the task that a firing starts.</param>
    /// <param name="body">What to do when it is due.</param>
    public KernelTimer(KernelRuntime runtime, string name, Func<KernelTask, ValueTask> body)
    {
        _runtime = runtime;
        _name = name;
        _body = body;
        _timer = runtime.Time.CreateTimer(
            _ => runtime.Spawn(name, body), state: null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Sets the timer, or sets it anew.</summary>
    /// <param name="due">Time from now.</param>
    public void Set(TimeSpan due)
    {
        if (!_runtime.DecidesTimers)
        {
            _timer.Change(due, Timeout.InfiniteTimeSpan);
            return;
        }
        int setting = TakeBack();
        _runtime.SpawnTimer(_name, task => FireAsync(task, due, setting));
    }

    /// <summary>Takes the setting back.</summary>
    public void Cancel() => TakeBack();

    /// <inheritdoc/>
    public override string ToString() => _name;

    private int TakeBack()
    {
        _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        return _runtime.DecidesTimers ? _setting.Update(_runtime, this, KernelFields.TimerSetting, 1, static (before, more) => before + more) : 0;
    }

    private async ValueTask FireAsync(KernelTask task, TimeSpan due, int setting)
    {
        await _runtime.DelayAsync(task, due);
        if (_setting.Read(_runtime, this, KernelFields.TimerSetting) == setting)
            await _body(task);
    }
}

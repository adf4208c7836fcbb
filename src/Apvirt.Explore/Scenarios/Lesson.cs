namespace Apvirt.Explore.Scenarios;

/// <summary>
/// When a search that learns where points are missing is given up for one that has them: when as many executions as it took to
/// learn something have taught nothing more. The one that learns nothing comes to its end.
/// </summary>
internal sealed class Lesson
{
    private const long Least = 16;

    private readonly Lock _lock = new();
    private readonly Dictionary<ScenarioWorker, int> _learnt = [];
    private long _executions;
    private long _lastNew;

    /// <summary>Whether it is over; never if nothing was learnt.</summary>
    internal bool IsOver
    {
        get
        {
            lock (_lock)
                return _lastNew > 0 && _executions >= (2 * _lastNew) + Least;
        }
    }

    /// <summary>An execution was looked at.</summary>
    /// <param name="worker">Who did it.</param>
    /// <param name="learnt">How much that worker has learnt in all its executions.</param>
    internal void Saw(ScenarioWorker worker, int learnt)
    {
        lock (_lock)
        {
            _executions++;
            if (learnt > _learnt.GetValueOrDefault(worker))
                _lastNew = _executions;
            _learnt[worker] = learnt;
        }
    }
}

namespace Apvirt.Kernel.Runtime;

/// <summary>
/// Virtual time: it stands still while anything can run and then jumps to the next timer. Ticks of 100 ns since an
/// arbitrary, fixed origin, so a run does not depend on the day it is made.
/// </summary>
/// <param name="atLeast">What time it is at least for whoever asks; null if it is the same for all.</param>
internal sealed class SimulationTime(Func<long>? atLeast = null) : TimeProvider
{
    private static readonly DateTimeOffset Origin = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly PriorityQueue<(SimulationTimer Timer, int Setting), (long Due, long Sequence)> _timers = new();
    private long _sequence;

    internal long Now { get; set; }

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => atLeast is null ? Now : Math.Max(Now, atLeast());

    public override DateTimeOffset GetUtcNow() => Origin.AddTicks(GetTimestamp());

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        SimulationTimer timer = new(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>When the next timer is due, <see cref="long.MaxValue"/> if none is set.</summary>
    internal long NextDue()
    {
        while (_timers.TryPeek(out var entry, out var key))
        {
            if (entry.Timer.Setting == entry.Setting)
                return key.Due;
            _timers.Dequeue();
        }
        return long.MaxValue;
    }

    /// <summary>Moves to the next timer and fires it.</summary>
    internal void FireNext()
    {
        Now = Math.Max(Now, NextDue());
        (SimulationTimer timer, _) = _timers.Dequeue();
        timer.Fire();
    }

    private void Set(SimulationTimer timer, TimeSpan due) =>
        _timers.Enqueue((timer, timer.Setting), (GetTimestamp() + due.Ticks, _sequence++));

    private sealed class SimulationTimer(SimulationTime time, TimerCallback callback, object? state) : ITimer
    {
        private TimeSpan _period;

        /// <summary>Number of the present setting; queue entries of earlier settings are dead.</summary>
        internal int Setting { get; private set; }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            Setting++;
            _period = period;
            if (dueTime != Timeout.InfiniteTimeSpan)
                time.Set(this, dueTime);
            return true;
        }

        public void Dispose() => Setting++;

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }

        internal void Fire()
        {
            Setting++;
            if (_period != Timeout.InfiniteTimeSpan && _period != TimeSpan.Zero)
                time.Set(this, _period);
            callback(state);
        }
    }
}

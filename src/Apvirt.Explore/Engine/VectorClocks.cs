namespace Apvirt.Explore.Engine;

/// <summary>
/// What is known of the time of each task (C. Fidge and F. Mattern, 1988): something that a task did at a time comes before all
/// whose clock knows of that time.
/// </summary>
/// <param name="times">By task.</param>
internal readonly ref struct VectorClock(Span<int> times)
{
    private readonly Span<int> _times = times;

    /// <summary>The time of a task that is known.</summary>
    internal ref int this[int task] => ref _times[task];

    /// <summary>Whether it is the clock of what follows from nothing.</summary>
    internal bool IsNone => _times.IsEmpty;

    internal void Join(VectorClock other)
    {
        Span<int> mine = _times;
        Span<int> others = other._times;
        for (int i = 0; i < mine.Length && i < others.Length; i++)
            mine[i] = Math.Max(mine[i], others[i]);
    }

    internal void Set(VectorClock other)
    {
        if (other.IsNone)
            _times.Clear();
        else
            other._times.CopyTo(_times);
    }
}

/// <summary>Several clocks of the same tasks.</summary>
/// <param name="tasks">The most tasks.</param>
/// <param name="count">How many clocks there are at first.</param>
internal sealed class VectorClocks(int tasks, int count)
{
    private int[] _times = new int[tasks * count];

    internal VectorClock this[int clock] => new(_times.AsSpan(clock * tasks, tasks));

    internal void Clear() => Array.Clear(_times);

    internal void Grow(int clocks) => Array.Resize(ref _times, tasks * clocks);
}

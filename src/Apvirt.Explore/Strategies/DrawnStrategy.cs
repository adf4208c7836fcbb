using System.Numerics;
using Apvirt.Explore.Engine;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Explore.Strategies;

/// <summary>
/// Draws schedules, for what is too large to be exhausted. Execution n of a seed is the same whoever does it: it depends on
/// the seed and n alone.
/// </summary>
/// <param name="frontier">The numbers that are left.</param>
/// <param name="chooser">Who draws.</param>
internal sealed class DrawnStrategy(DrawnFrontier frontier, IChooser chooser) : IStrategy
{
    private long _next;
    private long _end;

    /// <inheritdoc/>
    public bool IsCut => false;

    /// <inheritdoc/>
    public (long Choices, double Weight) Left => (0, 0);

    /// <inheritdoc/>
    public int Repeated => -1;

    /// <inheritdoc/>
    public bool Take(long executionsMax)
    {
        (_next, _end) = frontier.Take(executionsMax);
        return true;
    }

    /// <inheritdoc/>
    public void GiveBack()
    {
    }

    /// <inheritdoc/>
    public bool Begin()
    {
        if (_next == _end)
            return false;
        chooser.Begin(_next++);
        return true;
    }

    /// <inheritdoc/>
    public int Choose(ulong enabled)
    {
        Span<int> able = stackalloc int[64];
        int count = 0;
        for (ulong rest = enabled; rest != 0; rest &= rest - 1)
            able[count++] = BitOperations.TrailingZeroCount(rest);
        return able[chooser.Choose(able[..count], running: false)];
    }

    /// <inheritdoc/>
    public bool Did() => true;

    /// <inheritdoc/>
    public void Ended()
    {
    }
}

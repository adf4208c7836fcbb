using System.Numerics;
using Apvirt.Explore.Engine;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Explore.Strategies;

/// <summary>The numbers of the executions that are to be drawn: there is always another.</summary>
/// <param name="options">How to search.</param>
internal sealed class DrawnFrontier(ExploreOptions options) : Frontier
{
    private const int DrawnAtOnce = 50;

    private long _next;

    /// <inheritdoc/>
    internal override bool MayExhaust => false;

    /// <inheritdoc/>
    internal override (long Choices, double Weight) Left => (0, 0);

    /// <inheritdoc/>
    internal override IStrategy Join(IExplored program, Execution execution) => new DrawnStrategy(
        this,
        options.Strategy == Strategy.Random ? new RandomChooser(options.Seed) : new PriorityChooser(options.Seed, options.PriorityChanges, Math.Max(1, LengthOf(program))));

    /// <summary>Takes some numbers. Under the gate.</summary>
    /// <param name="most">How many at most.</param>
    /// <returns>The first, and the first that is not taken.</returns>
    internal (long From, long To) Take(long most)
    {
        long from = _next;
        _next += Math.Min(DrawnAtOnce, most);
        return (from, _next);
    }

    // How long executions are: steps of the one in which tasks take turns.
    private int LengthOf(IExplored program)
    {
        program.Restart();
        int length = 0;
        int last = -1;
        program.Drive(() =>
        {
            if (program.Enabled is not (not 0 and var enabled) || length == options.DepthMax)
                return -1;
            ulong after = last < 0 ? enabled : enabled & ~((2UL << last) - 1);
            last = BitOperations.TrailingZeroCount(after != 0 ? after : enabled);
            length++;
            return last;
        });
        return length;
    }
}

using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Strategies;

/// <summary>What the threads of a search share: what is known and left to do.</summary>
internal abstract class Frontier
{
    /// <summary>Guards everything here, and what a search counts; a leaf.</summary>
    internal Lock Gate { get; } = new();

    /// <summary>Whether it can tell that everything was seen.</summary>
    internal virtual bool MayExhaust => true;

    /// <summary>How many choices are left, and what part of all executions they lead to, as far as that is known. Under the gate.</summary>
    internal abstract (long Choices, double Weight) Left { get; }

    /// <summary>What part of all executions is done; null if there is no telling. Under the gate.</summary>
    internal virtual double? Done => null;

    /// <summary>Different keys that were seen; 0 for strategies that have none. Under the gate.</summary>
    internal virtual long States => 0;

    /// <summary>Two schedules with one key and different states; null if none were found. Under the gate.</summary>
    internal virtual string? Hole => null;

    /// <summary>Makes the frontier of a search.</summary>
    internal static Frontier Of(ExploreOptions options) => options.Strategy switch
    {
        Strategy.Reduced => new TreeFrontier((frontier, program, execution) => new ReducedStrategy(frontier, program, execution)),
        Strategy.Naive => new TreeFrontier((frontier, program, execution) => new NaiveStrategy(frontier, program, execution, options.PreemptionsMax)),
        Strategy.Hashed => new HashedFrontier(options),
        _ => new DrawnFrontier(options),
    };

    /// <summary>Makes the strategy of a thread.</summary>
    /// <param name="program">What the thread explores.</param>
    /// <param name="execution">Its present execution.</param>
    internal abstract IStrategy Join(IExplored program, Execution execution);
}

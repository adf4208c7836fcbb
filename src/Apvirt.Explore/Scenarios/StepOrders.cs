using Apvirt.Explore.Engine;
using Apvirt.Explore.Searches;

namespace Apvirt.Explore.Scenarios;

/// <summary>
/// The outcomes that operations may have that are several steps each, every step at once, in any order of the steps (V06).
/// </summary>
/// <remarks>
/// Whatever an order of the steps gives is explained, however that order was found. So the reduced search looks first, which is
/// soon done; what it has not seen is only called unexplained after the search by keys, which asks nothing of what steps do within,
/// has come to its end without it.
/// </remarks>
/// <param name="scenario">The scenario.</param>
internal sealed class StepOrders(Scenario scenario)
{
    private static readonly Strategy[] Strategies = [Strategy.Reduced, Strategy.Hashed];

    private readonly Lock _lock = new();
    private readonly HashSet<string> _seen = new(StringComparer.Ordinal);
    private int _searches;
    private bool _isComplete;

    /// <summary>How many executions each search may take.</summary>
    internal int ExecutionsMax { get; set; } = 60_000;

    /// <summary>Whether each outcome that was asked for has been judged; there may be more orders than were looked at.</summary>
    internal bool HasJudgedAll { get; private set; } = true;

    /// <summary>Whether an outcome is that of some order of the steps.</summary>
    /// <param name="outcome">The outcome, as <see cref="ScenarioWorker"/> writes it.</param>
    /// <returns>True as well if nobody can say, as there are too many orders.</returns>
    internal bool Explain(string outcome)
    {
        lock (_lock)
        {
            while (!_seen.Contains(outcome) && _searches < Strategies.Length)
                LookForMore(Strategies[_searches++]);
            if (_seen.Contains(outcome))
                return true;
            HasJudgedAll &= _isComplete;
            return !_isComplete;
        }
    }

    private void LookForMore(Strategy strategy)
    {
        using ScenarioWorker worker = new(scenario, orders: null, onlySteps: true);
        ExploreResult result = Search.Run(worker.Program, new ExploreOptions { Strategy = strategy, ExecutionsMax = ExecutionsMax, Audits = false }, _ =>
        {
            if (worker.Program.Unfinished == 0)
                _seen.Add(worker.Outcome());
            return true;
        });
        _isComplete = strategy == Strategy.Hashed && result.Verdict == Verdict.Exhausted;
    }
}

using Apvirt.Explore.Engine;
using Apvirt.Kernel.Validation;

namespace Apvirt.Explore.Scenarios;

/// <summary>Something that went wrong in some execution.</summary>
/// <param name="Rule">The invariant, V01 for a deadlock, V06 for answers that no order gives, or the name of a belief.</param>
/// <param name="Summary">What went wrong.</param>
/// <param name="Finding">The finding that predicts it; null if none does.</param>
/// <param name="Schedule">The steps of the execution with the fewest switches that shows it.</param>
/// <param name="Count">In how many executions it was seen.</param>
public sealed record ScenarioViolation(string Rule, string Summary, string? Finding, Schedule Schedule, long Count)
{
    /// <summary>For an order of locks that can deadlock: what became of it.</summary>
    public PredictedCycle? Cycle { get; init; }

    /// <summary>The cycle in which tasks wait for each other, or could: each holds what the one before wants. Empty if there is none.</summary>
    public IReadOnlyList<LockEdge> Edges { get; init; } = [];

    /// <summary>What is known of the locks, where it is about an order of them.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public LockReport? Locks { get; init; }
}

/// <summary>What exploring a scenario found.</summary>
/// <param name="Result">How far it came.</param>
/// <param name="Outcomes">How many different answers and states there were.</param>
/// <param name="Violations">What went wrong, most severe first: what nothing predicts, then the rest.</param>
public sealed record ScenarioResult(ExploreResult Result, int Outcomes, IReadOnlyList<ScenarioViolation> Violations)
{
    /// <summary>The different answers and states.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public IReadOnlySet<string> OutcomeTexts { get; init; } = new HashSet<string>();

    /// <summary>
    /// Whether each outcome was held against those of the orders of the operations' steps (V06); not if there are too many orders
    /// and none of those that were looked at gives it.
    /// </summary>
    public bool AreAnswersCompared { get; init; }

    /// <summary>The fields, completions and spin locks before which there had to be points, since others come in there.</summary>
    public IReadOnlyList<string> Points { get; init; } = [];

    /// <summary>Callers that do the same, by name: what is found is found up to their exchange.</summary>
    public IReadOnlyList<IReadOnlyList<string>> Alike { get; init; } = [];

    /// <summary>This, and what an earlier search of the same scenario found, which had fewer points.</summary>
    internal ScenarioResult With(ScenarioResult earlier)
    {
        HashSet<string> outcomes = [.. OutcomeTexts, .. earlier.OutcomeTexts];
        ScenarioViolation[] violations =
        [
            .. Violations,
            .. earlier.Violations.Where(violation => !Violations.Any(known => known.Rule == violation.Rule && known.Summary == violation.Summary)),
        ];
        bool isViolated = Result.Verdict == Verdict.Exhausted && Array.Exists(violations, violation => violation.Finding is null);
        return this with
        {
            Result = isViolated ? Result with { Verdict = Verdict.Violation } : Result,
            OutcomeTexts = outcomes,
            Outcomes = outcomes.Count,
            Violations = [.. violations.OrderBy(violation => violation.Finding is not null).ThenBy(violation => violation.Rule, StringComparer.Ordinal).ThenBy(violation => violation.Summary, StringComparer.Ordinal)],
        };
    }

    /// <summary>What no finding predicts.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public IEnumerable<ScenarioViolation> Unpredicted => Violations.Where(violation => violation.Finding is null);
}

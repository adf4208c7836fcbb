using Apvirt.Host.Checks;

namespace Apvirt.Host.Fuzzing;

/// <summary>Makes a failing plan smaller: takes out what it does not need to fail by the same rule.</summary>
public static class FuzzShrink
{
    /// <summary>Shrinks a plan.</summary>
    /// <param name="plan">A plan that fails.</param>
    /// <param name="rule">The rule that it breaks.</param>
    /// <param name="runsMax">The most runs to spend.</param>
    /// <returns>The smallest plan found that breaks the rule.</returns>
    public static FuzzPlan Shrink(FuzzPlan plan, string rule, int runsMax = 2000) =>
        plan with { Steps = Shrinker.Shrink(plan.Steps, steps => Fails(plan with { Steps = steps }, rule), runsMax) };

    private static bool Fails(FuzzPlan plan, string rule) =>
        FuzzRun.Run(plan).Violations.Any(violation => string.Equals(violation.Rule, rule, StringComparison.Ordinal));
}

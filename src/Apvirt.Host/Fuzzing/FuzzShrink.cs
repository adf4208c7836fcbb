namespace Apvirt.Host.Fuzzing;

/// <summary>Makes a failing plan smaller: takes out what it does not need to fail by the same rule.</summary>
public static class FuzzShrink
{
    /// <summary>Shrinks a plan.</summary>
    /// <param name="plan">A plan that fails.</param>
    /// <param name="rule">The rule that it breaks.</param>
    /// <param name="runsMax">The most runs to spend.</param>
    /// <returns>The smallest plan found that breaks the rule.</returns>
    public static FuzzPlan Shrink(FuzzPlan plan, string rule, int runsMax = 2000)
    {
        int runs = 0;
        for (int size = Math.Max(1, plan.Steps.Count / 2); size >= 1; size /= 2)
        {
            bool found = true;
            while (found)
            {
                found = false;
                for (int at = plan.Steps.Count - size; at >= 0 && runs < runsMax; at -= size)
                {
                    FuzzPlan smaller = plan with { Steps = [.. plan.Steps.Take(at), .. plan.Steps.Skip(at + size)] };
                    runs++;
                    if (!Fails(smaller, rule))
                        continue;
                    plan = smaller;
                    found = true;
                }
            }
        }
        return plan;
    }

    private static bool Fails(FuzzPlan plan, string rule) =>
        FuzzRun.Run(plan).Violations.Any(violation => string.Equals(violation.Rule, rule, StringComparison.Ordinal));
}

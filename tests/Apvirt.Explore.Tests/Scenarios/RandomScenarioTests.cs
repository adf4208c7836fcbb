using Apvirt.Ap.Profiles;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;
using Apvirt.Host.Fuzzing;

namespace Apvirt.Explore.Tests.Scenarios;

/// <summary>
/// Exhausting a scenario of the driver leaves nothing out: random callers have no outcome in drawn schedules that they do
/// not have in the reduced search. What somebody reads or writes without telling the explorer shows here.
/// </summary>
public sealed class RandomScenarioTests
{
    // What sleeps until somebody else does something, which a preparation one after another cannot wait for.
    private static readonly string[] Sleeping = ["\"guest.wait\"", "/remove\"", "/power\"", "vfio-pci/unbind"];

    [Fact]
    public void Drawn_schedules_have_no_outcome_that_the_reduced_search_has_not()
    {
        int exhausted = 0;
        int different = 0;
        for (int episode = 0; episode < 250; episode++)
        {
            FuzzPlan plan = FuzzPlan.Make(seed: 8, episode, operations: 70, tasks: 1, Profile.Strict);
            string[] operations = [.. plan.Steps.Select(step => step.Text)];
            string[] setup = [.. operations[..25].Where(o => !Sleeping.Any(part => o.Contains(part, StringComparison.Ordinal)))];
            string[] concurrent = [.. operations[25..].Where(o => !o.Contains("\"read\"", StringComparison.Ordinal)).Take(3)];
            Scenario scenario = new("random", Profile.Strict, plan.Header, setup, [.. concurrent.Select((o, i) => new ScenarioTask($"caller {i}", [o]))], [], null);
            ScenarioResult reduced = new ScenarioSearch(scenario).Run(new ExploreOptions { ExecutionsMax = 1000 });
            if (reduced.Result.Verdict == Verdict.BoundReached)
                continue;
            exhausted++;
            different += reduced.Outcomes > 1 ? 1 : 0;
            ScenarioResult drawn = new ScenarioSearch(scenario).Run(new ExploreOptions { Strategy = Strategy.Random, ExecutionsMax = 100 });
            Assert.True(drawn.OutcomeTexts.IsSubsetOf(reduced.OutcomeTexts), $"episode {episode}: more outcomes than the {reduced.Outcomes} of {reduced.Result.Executions} traces with\n{string.Join('\n', concurrent)}");
        }
        Assert.InRange(exhausted, 200, 250);
        Assert.InRange(different, 5, 250);
    }
}

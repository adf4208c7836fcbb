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

    internal static Scenario Make(FuzzPlan plan, int callers, bool withReads = false)
    {
        string[] operations = [.. plan.Steps.Select(step => step.Text)];
        string[] setup = [.. operations[..25].Where(o => !Sleeping.Any(part => o.Contains(part, StringComparison.Ordinal)))];
        string[] concurrent = [.. operations[25..].Where(o => withReads || !o.Contains("\"read\"", StringComparison.Ordinal)).Take(callers)];
        return new("random", Profile.Strict, plan.Header, setup, [.. concurrent.Select((o, i) => new ScenarioTask($"caller {i}", [o]))], [], null);
    }

    // Two scans at once look at the hardware between each other's steps where no lock is: only points everywhere show that.
    private static bool Scans(Scenario scenario) => scenario.Tasks.All(task => task.Operations[0].Contains("host.config", StringComparison.Ordinal));

    [Fact]
    public void Points_everywhere_show_the_same_outcomes()
    {
        int exhausted = 0;
        int different = 0;
        for (int episode = 0; episode < 300; episode++)
        {
            Scenario scenario = Make(FuzzPlan.Make(seed: 9, episode, operations: 70, tasks: 1, Profile.Strict), callers: 2);
            ScenarioResult few = new ScenarioSearch(scenario).Run(new ExploreOptions { ExecutionsMax = 500 });
            if (few.Result.Verdict == Verdict.BoundReached)
                continue;
            ScenarioResult all = new ScenarioSearch(scenario).Run(new ExploreOptions { HasPointsEverywhere = true, ExecutionsMax = 1000 });
            if (all.Result.Verdict == Verdict.BoundReached)
                continue;
            exhausted++;
            different += few.Outcomes > 1 ? 1 : 0;
            string callers = $"episode {episode}: {string.Join('\n', scenario.Tasks.Select(task => task.Operations[0]))}";
            Assert.True(few.OutcomeTexts.IsSubsetOf(all.OutcomeTexts), callers);
            Assert.True(all.OutcomeTexts.IsSubsetOf(few.OutcomeTexts) || Scans(scenario), callers);
            Assert.True(all.Violations.Select(v => v.Rule).ToHashSet().SetEquals(few.Violations.Select(v => v.Rule)), callers);
        }
        Assert.InRange(exhausted, 250, 300);
        Assert.InRange(different, 5, 300);
    }

    [Fact]
    public void Drawn_schedules_have_no_outcome_that_the_reduced_search_has_not()
    {
        int exhausted = 0;
        int different = 0;
        for (int episode = 0; episode < 250; episode++)
        {
            Scenario scenario = Make(FuzzPlan.Make(seed: 8, episode, operations: 70, tasks: 1, Profile.Strict), callers: 3);
            ScenarioResult reduced = new ScenarioSearch(scenario).Run(new ExploreOptions { ExecutionsMax = 1000 });
            if (reduced.Result.Verdict == Verdict.BoundReached)
                continue;
            exhausted++;
            different += reduced.Outcomes > 1 ? 1 : 0;
            ScenarioResult drawn = new ScenarioSearch(scenario).Run(new ExploreOptions { Strategy = Strategy.Random, ExecutionsMax = 100 });
            Assert.True(drawn.OutcomeTexts.IsSubsetOf(reduced.OutcomeTexts), $"episode {episode}: more outcomes than the {reduced.Outcomes} of {reduced.Result.Executions} traces with\n{string.Join('\n', scenario.Tasks.Select(task => task.Operations[0]))}");
        }
        Assert.InRange(exhausted, 200, 250);
        Assert.InRange(different, 5, 250);
    }
}

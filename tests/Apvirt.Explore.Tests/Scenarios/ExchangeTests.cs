using Apvirt.Ap.Profiles;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;
using Apvirt.Host.Fuzzing;

namespace Apvirt.Explore.Tests.Scenarios;

/// <summary>Callers that do the same are explored up to exchange, and nothing is lost by it.</summary>
public sealed class ExchangeTests
{
    // Which of two that do the same got which answer is no difference.
    private static HashSet<string> UpToExchange(ScenarioResult result) =>
        [.. result.OutcomeTexts.Select(outcome => string.Join('\n', outcome.Split('\n', '{').Order(StringComparer.Ordinal)))];

    private static HashSet<string> Rules(ScenarioResult result) => [.. result.Violations.Select(violation => violation.Rule)];

    private static void Compare(Scenario scenario, ExploreOptions? bounds, out ScenarioResult exchanged, out ScenarioResult apart)
    {
        bounds ??= new ExploreOptions();
        exchanged = new ScenarioSearch(scenario).Run(bounds);
        apart = new ScenarioSearch(scenario).Run(bounds with { TellsApart = true });
        if (exchanged.Result.Verdict == Verdict.BoundReached || apart.Result.Verdict == Verdict.BoundReached)
            return;
        Assert.Equal(UpToExchange(apart).Order(StringComparer.Ordinal), UpToExchange(exchanged).Order(StringComparer.Ordinal));
        Assert.True(Rules(exchanged).SetEquals(Rules(apart)));
        Assert.Equal(apart.Result.Deadlocks > 0, exchanged.Result.Deadlocks > 0);
        Assert.InRange(exchanged.Result.Executions, 1, apart.Result.Executions);
        ScenarioResult hashed = new ScenarioSearch(scenario).Run(bounds with { Strategy = Strategy.Hashed });
        Assert.Null(ScenarioSearch.Compare(exchanged, hashed));
    }

    [Fact]
    public void Two_that_remove_the_same_parent_are_told_as_one()
    {
        Scenario scenario = ScenarioFiles.Read("scenarios", "parent-goes-two-removers.yaml");
        Compare(scenario, bounds: null, out ScenarioResult exchanged, out ScenarioResult apart);
        Assert.Single(exchanged.Alike);
        Assert.Empty(apart.Alike);
        Assert.InRange(exchanged.Result.Executions, apart.Result.Executions / 2, apart.Result.Executions * 3 / 5);
    }

    // Three that do the same one after another under one mutex have one order up to exchange, and six if told apart.
    [Fact]
    public void Three_mask_stores_have_a_sixth_of_the_traces()
    {
        Scenario scenario = ScenarioFiles.Read("scenarios", "x-perm.yaml");
        string store = scenario.Tasks.SelectMany(task => task.Operations).First(operation => operation.Contains("mask\"", StringComparison.Ordinal));
        scenario = scenario with { Tasks = [.. Enumerable.Range(0, 3).Select(i => new ScenarioTask($"administrator {i}", [store]))] };
        Compare(scenario, bounds: null, out ScenarioResult exchanged, out ScenarioResult apart);
        Assert.Equal(6 * exchanged.Result.Executions, apart.Result.Executions);
    }

    [Fact]
    public void Random_callers_that_do_the_same_lose_nothing()
    {
        int exhausted = 0;
        int fewer = 0;
        for (int episode = 0; episode < 60; episode++)
        {
            Scenario drawn = RandomScenarioTests.Make(FuzzPlan.Make(seed: 31, episode, operations: 70, tasks: 1, Profile.Strict), callers: 2);
            Scenario scenario = drawn with { Tasks = [.. drawn.Tasks, drawn.Tasks[episode % drawn.Tasks.Count] with { Name = "again" }] };
            Compare(scenario, new ExploreOptions { ExecutionsMax = 1000 }, out ScenarioResult exchanged, out ScenarioResult apart);
            if (apart.Result.Verdict == Verdict.BoundReached)
                continue;
            exhausted++;
            fewer += exchanged.Result.Executions < apart.Result.Executions ? 1 : 0;
        }
        Assert.InRange(exhausted, 40, 60);
        Assert.InRange(fewer, 20, 60);
    }
}

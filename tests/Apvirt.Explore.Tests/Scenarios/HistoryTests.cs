using Apvirt.Ap.Profiles;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;
using Apvirt.Host.Fuzzing;

namespace Apvirt.Explore.Tests.Scenarios;

/// <summary>V06 on histories: whatever callers do at once, some order of the steps of their operations explains it.</summary>
public sealed class HistoryTests
{
    private const int Episodes = 2000;

    [Fact]
    public void V06_operations_at_once_answer_as_in_some_order_of_their_steps()
    {
        List<string> found = [];
        int judged = 0;
        for (int episode = 0; episode < Episodes; episode++)
        {
            FuzzPlan plan = FuzzPlan.Make(seed: 6, episode, operations: 40, tasks: 1, Profile.Strict);
            Scenario scenario = RandomScenarioTests.Make(plan, callers: 2 + (episode % 2), withReads: true);
            ScenarioResult drawn = new ScenarioSearch(scenario) { StepOrdersMax = 3000 }.Run(new ExploreOptions { Strategy = Strategy.Random, Seed = plan.Seed, ExecutionsMax = 2 });
            judged += drawn.AreAnswersCompared ? 1 : 0;
            found.AddRange(drawn.Violations.Where(violation => violation.Rule == "V06").Select(violation => $"# episode {episode}: {violation.Summary}\n{ToYaml(scenario)}"));
        }
        Assert.True(found.Count == 0, string.Join("\n", found));
        Assert.InRange(judged, Episodes * 9 / 10, Episodes);
    }

    // A mask store changes the mask and then rebinds queue by queue; who counts bindings meanwhile sees how far it is (ap-bus.md §3).
    [Fact]
    public void V06_a_count_of_bindings_between_the_steps_of_a_mask_store_is_explained()
    {
        Scenario scenario = new(
            "count", Profile.Strict, Machine("[4,5]", apmask: "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"), [],
            [
                new("administrator", ["""{"op":"write","path":"/sys/bus/ap/apmask","data":"-4,-5"}"""]),
                new("reader", ["""{"op":"read","path":"/sys/bus/ap/bindings"}"""]),
            ],
            [], null);
        ScenarioResult result = new ScenarioSearch(scenario).Run(new ExploreOptions());
        Assert.Equal((Verdict.Exhausted, 0, true), (result.Result.Verdict, result.Violations.Count, result.AreAnswersCompared));
        Assert.Contains(result.OutcomeTexts, outcome => outcome.Contains("1/2\\n", StringComparison.Ordinal));
    }

    // The theft that the whole locking exists for: a queue leaves the host while an mdev of a running guest takes it.
    [Fact]
    public void V06_the_six_step_stolen_queue_is_explained_in_every_order()
    {
        const string Matrix = "/sys/devices/vfio_ap/matrix";
        const string Mdev = "62177883-f1bb-47f0-914d-32a22e3a8804";
        Scenario scenario = new(
            "stolen", Profile.Strict, Machine("[4]", apmask: "0x0"),
            [
                $$"""{"op":"write","path":"{{Matrix}}/mdev_supported_types/vfio_ap-passthrough/create","data":"{{Mdev}}"}""",
                $$"""{"op":"write","path":"{{Matrix}}/{{Mdev}}/assign_domain","data":"71"}""",
                $$"""{"op":"guest.start","guest":"g","mdev":"{{Mdev}}"}""",
            ],
            [
                new("administrator", ["""{"op":"write","path":"/sys/bus/ap/apmask","data":"+4"}"""]),
                new("owner", [$$"""{"op":"write","path":"{{Matrix}}/{{Mdev}}/assign_adapter","data":"4"}"""]),
            ],
            [], null);
        ScenarioResult result = new ScenarioSearch(scenario).Run(new ExploreOptions());
        Assert.Equal((Verdict.Exhausted, 0, true), (result.Result.Verdict, result.Violations.Count, result.AreAnswersCompared));
    }

    private static string Machine(string adapters, string apmask) =>
        $$"""{"trace":"apvirt-trace/1","about":"t","host":{"apxa":true,"max_adapter":255,"max_domain":255,"adapters":{{adapters}},"domains":[71],"control_domains":[71],"type":"CEX8C hwtype 14"},"apmask":"{{apmask}}","aqmask":"0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"}""";

    // What 'apvirt explore' takes, so that a failure can be looked at.
    private static string ToYaml(Scenario scenario) => string.Join(
        '\n',
        [
            $"machine: '{scenario.Machine}'", "setup:", .. scenario.SetUp.Select(operation => $"  - '{operation}'"),
            "tasks:", .. scenario.Tasks.SelectMany(task => task.Operations.Select(operation => $"  - '{operation}'").Prepend($"  {task.Name}:")),
        ]);
}

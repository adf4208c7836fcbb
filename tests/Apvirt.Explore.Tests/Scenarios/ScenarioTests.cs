using Apvirt.Ap.Profiles;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;

namespace Apvirt.Explore.Tests.Scenarios;

/// <summary>Scenarios on the real driver.</summary>
public sealed class ScenarioTests(ExploredScenarios explored)
{
    public static TheoryData<string> Names => [.. Directory.GetFiles(ScenarioFiles.Folder("scenarios"), "*.yaml").Select(file => Path.GetFileName(file)).Where(name => !name.StartsWith("belief", StringComparison.Ordinal) && !name.StartsWith("seed", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];

    // Of what is large everything is seen at the points before acquisitions, which is not everything, and is not said to be.
    private static Verdict VerdictOf(string name) => ScenarioFiles.IsLarge(name) ? Verdict.BoundReached : Verdict.Exhausted;

    private static Scenario Read(string name) => ScenarioFiles.Read("scenarios", name);

    [Theory]
    [MemberData(nameof(Names))]
    public void Under_strict_every_example_is_exhausted_without_a_violation(string name)
    {
        ScenarioResult result = explored.Of(name, Profile.Strict);
        Assert.Empty(result.Violations.Select(v => $"{v.Rule} {v.Summary}"));
        Assert.Equal((VerdictOf(name), 0), (result.Result.Verdict, result.Result.Deadlocks));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Under_linux_612_only_what_a_finding_predicts_is_violated(string name)
    {
        ScenarioResult result = explored.Of(name, Profile.Linux612);
        Assert.Equal(VerdictOf(name), result.Result.Verdict);
        Assert.Empty(result.Violations.Where(v => v.Finding is null).Select(v => $"{v.Rule} {v.Summary}"));
    }

    [Fact]
    public void F08_reading_ap_config_without_a_lock_is_found()
    {
        ScenarioResult result = new ScenarioSearch(Read("show-config.yaml")).Run(new ExploreOptions());
        Assert.All(result.Violations, violation => Assert.Equal(("I26", "F08"), (violation.Rule, violation.Finding)));
        // One for each of the three masks that it reads.
        Assert.Equal(3, result.Violations.Count(v => v.Summary.StartsWith("mdev.matrix is read without guests_lock or mdevs_lock", StringComparison.Ordinal)));
        Assert.Equal(4, result.Violations.Count);
        Assert.Contains(result.Violations, v => v.Summary == "mdev.matrix is read by reader and written by assign, and nothing orders the two");
        Assert.Contains(result.Violations, v => v.Summary.StartsWith("mdev.matrix is read without guests_lock or mdevs_lock", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("x-perm.yaml")]
    [InlineData("show-config.yaml")]
    public void The_naive_search_has_the_same_outcomes(string name)
    {
        ScenarioResult reduced = explored.Of(name, Read(name).Profile);
        ScenarioResult naive = new ScenarioSearch(Read(name)).Run(new ExploreOptions { Strategy = Strategy.Naive });
        Assert.Equal(reduced.Outcomes, naive.Outcomes);
        Assert.True(naive.Result.Executions >= reduced.Result.Executions);
    }

    [Fact]
    public void M016_the_explorer_disproves_a_belief_with_a_schedule()
    {
        ScenarioResult result = new ScenarioSearch(Read("belief-domain-removed.yaml")).Run(new ExploreOptions());
        ScenarioViolation violation = Assert.Single(result.Violations);
        Assert.Equal(("linked means domain plugged", "queue 04.0004 is linked to 62177883-f1bb-47f0-914d-32a22e3a8804 and its domain is not in the shadow"), (violation.Rule, violation.Summary));
        Assert.Contains(violation.Schedule.Steps, step => step.Target == "guests_lock");
        Assert.Equal(Verdict.Violation, result.Result.Verdict);
    }

    [Theory]
    [InlineData("x-hot.yaml")]
    [InlineData("x-status.yaml")]
    [InlineData("interrupts-unbind-close.yaml")]
    public void The_naive_search_and_drawn_schedules_have_the_same_outcomes(string name)
    {
        ScenarioResult reduced = explored.Of(name, Read(name).Profile);
        ScenarioResult naive = new ScenarioSearch(Read(name)).Run(new ExploreOptions { Strategy = Strategy.Naive, ExecutionsMax = 5000 });
        ScenarioResult drawn = new ScenarioSearch(Read(name)).Run(new ExploreOptions { Strategy = Strategy.Random, ExecutionsMax = 5000 });
        // The naive search begins at one end, and may not get far; schedules that are drawn come from everywhere.
        Assert.True(naive.OutcomeTexts.IsSubsetOf(reduced.OutcomeTexts));
        Assert.True(drawn.OutcomeTexts.SetEquals(reduced.OutcomeTexts));
        Assert.Empty(naive.Violations.Select(v => $"{v.Rule} {v.Summary}"));
    }

    [Fact]
    public void A_schedule_replays_a_hundred_times()
    {
        ScenarioViolation violation = new ScenarioSearch(Read("show-config.yaml")).Run(new ExploreOptions()).Violations[0];
        for (int i = 0; i < 100; i++)
        {
            Assert.Null(new ScenarioSearch(Read("show-config.yaml")).Replay(violation.Schedule, out IReadOnlyList<ScenarioViolation> again));
            Assert.Contains((violation.Rule, violation.Summary), again.Select(v => (v.Rule, v.Summary)));
        }
        Schedule wrong = new([.. violation.Schedule.Steps.Reverse()]);
        Assert.StartsWith("step 1 should be ", new ScenarioSearch(Read("show-config.yaml")).Replay(wrong, out _)!, StringComparison.Ordinal);
    }

    [Fact]
    public void M026_in_every_schedule_the_queue_is_either_the_hosts_or_assigned()
    {
        ScenarioResult result = explored.Of("x-perm.yaml", Read("x-perm.yaml").Profile);
        Assert.Equal((Verdict.Exhausted, 2), (result.Result.Verdict, result.Outcomes));
        Assert.Empty(result.Violations);
    }

    // Issue 6: exhausted under strict without a violation, and what invariants.md expects is found under linux-6.12: I17 in
    // X-cdev, more than one success in X-gvt, the order of locks that deadlocks in X-unmap. The others break nothing there.
    [Theory]
    [InlineData("x-kvm.yaml", "")]
    [InlineData("x-two.yaml", "")]
    [InlineData("x-rm.yaml", "I26")]
    [InlineData("x-unmap.yaml", "I27 I28")]
    [InlineData("x-zdev.yaml", "")]
    [InlineData("x-zdev-interrupt.yaml", "")]
    [InlineData("x-cdev.yaml", "I17 I18")]
    [InlineData("x-gvt.yaml", "M089 V06")]
    [InlineData("x-wake.yaml", "")]
    [InlineData("x-wake-pv.yaml", "")]
    public void Configurations_of_vfio_are_clean_under_strict_and_show_what_is_known_under_linux_612(string name, string broken)
    {
        ScenarioResult strict = explored.Of(name, Profile.Strict);
        Assert.Equal(VerdictOf(name), strict.Result.Verdict);
        Assert.Empty(strict.Violations.Select(v => $"{v.Rule} {v.Summary}"));
        ScenarioResult linux = explored.Of(name, Profile.Linux612);
        Assert.Equal(VerdictOf(name), linux.Result.Verdict);
        Assert.Empty(linux.Unpredicted.Select(v => $"{v.Rule} {v.Summary}"));
        Assert.Equal(broken, string.Join(' ', linux.Violations.Select(v => v.Rule).Distinct().Order(StringComparer.Ordinal)));
    }

    [Theory]
    [InlineData("x-kvm.yaml")]
    [InlineData("x-rm.yaml")]
    [InlineData("x-unmap.yaml")]
    public void Several_threads_see_what_one_sees(string name)
    {
        ScenarioResult alone = new ScenarioSearch(Read(name)).Run(new ExploreOptions { AddsPoints = !ScenarioFiles.IsLarge(name) });
        Assert.Equal(VerdictOf(name), alone.Result.Verdict);
        ScenarioResult together = new ScenarioSearch(Read(name)).Run(new ExploreOptions { Jobs = 3, Slice = 7, AddsPoints = !ScenarioFiles.IsLarge(name) });
        Assert.Equal((alone.Result.Verdict, alone.Result.Executions), (together.Result.Verdict, together.Result.Executions));
        Assert.True(alone.OutcomeTexts.SetEquals(together.OutcomeTexts));
        Assert.Empty(together.Violations);
    }

    [Theory]
    [InlineData(60_000, 1)]
    [InlineData(1, 0)]
    public void Answers_that_cannot_be_judged_are_neither_blamed_nor_called_right(int stepOrdersMax, int blamed)
    {
        ScenarioResult result = new ScenarioSearch(ScenarioFiles.Read("findings", "f08-config-shown-unlocked.yaml")) { StepOrdersMax = stepOrdersMax }.Run(new ExploreOptions());
        Assert.Equal(blamed == 1, result.AreAnswersCompared);
        Assert.Equal(blamed, result.Violations.Count(violation => violation.Rule == "V06"));
    }

    [Fact]
    public void F08_accesses_that_race_are_points_and_only_these()
    {
        Scenario scenario = ScenarioFiles.Read("findings", "f08-config-shown-unlocked.yaml");
        ScenarioResult result = new ScenarioSearch(scenario).Run(new ExploreOptions());
        ScenarioViolation mixed = Assert.Single(result.Violations, violation => violation.Rule == "V06");
        Assert.Equal(["mdev.matrix"], mixed.Schedule.Points!);
        Assert.All(mixed.Schedule.Steps.Where(step => step.Action is "reads" or "writes" or "releases"), step => Assert.Equal("mdev.matrix", step.Target));
        // What the reader saw is neither the matrix before nor the one after: 0 adapters, domain 5.
        Assert.Contains("0x0000000000000000000000000000000000000000000000000000000000000000,0x04", mixed.Summary, StringComparison.Ordinal);
        Assert.Null(new ScenarioSearch(scenario).Replay(mixed.Schedule, out IReadOnlyList<ScenarioViolation> again));
        Assert.Contains(again, violation => violation.Rule == "V06");
        // Without a race there are none.
        ScenarioResult strict = new ScenarioSearch(scenario with { Profile = Profile.Strict }).Run(new ExploreOptions());
        Assert.Equal((Verdict.Exhausted, 2, 0), (strict.Result.Verdict, strict.Outcomes, strict.Violations.Count));
    }

    // Points before acquisitions are enough where locks guard what is shared; with points everywhere nothing may be lost, and
    // only what no lock guards can show more.
    // What takes half a minute or more by itself.
    [Theory(Explicit = true)]
    [InlineData("two-openers.yaml")]
    [InlineData("x-unmap.yaml")]
    [InlineData("x-wake.yaml")]
    public void Points_everywhere_show_the_same_long(string name) => Points_everywhere_show_the_same(name);

    [Theory]
    [InlineData("interrupts-unbind-close.yaml")]
    [InlineData("show-config.yaml")]
    [InlineData("open-vs-vm-release.yaml")]
    [InlineData("start-vs-file-del.yaml")]
    [InlineData("two-cdev.yaml")]
    [InlineData("x-cdev.yaml")]
    [InlineData("x-cfg.yaml")]
    [InlineData("x-gvt.yaml")]
    [InlineData("x-hot.yaml")]
    [InlineData("x-perm.yaml")]
    [InlineData("x-pv.yaml")]
    [InlineData("x-rm.yaml")]
    [InlineData("x-status.yaml")]
    [InlineData("x-two.yaml")]
    [InlineData("x-wake-pv.yaml")]
    [InlineData("x-zdev-interrupt.yaml")]
    public void Points_everywhere_show_the_same(string name)
    {
        ScenarioResult few = explored.Of(name, Read(name).Profile);
        ScenarioResult all = new ScenarioSearch(Read(name)).Run(new ExploreOptions { HasPointsEverywhere = true });
        Assert.Equal((Verdict.Exhausted, Verdict.Exhausted), (few.Result.Verdict, all.Result.Verdict));
        Assert.Empty(few.OutcomeTexts.Except(all.OutcomeTexts));
        Assert.Empty(all.OutcomeTexts.Except(few.OutcomeTexts));
        Assert.Equal(few.Violations.Select(v => v.Rule).Distinct(), all.Violations.Select(v => v.Rule).Distinct());
        Assert.True(all.Result.DepthReached > few.Result.DepthReached);
    }

    // M129: the two threads meet in the driver, and the second may come after the first device was closed again.
    [Fact]
    public void M042_two_mediated_devices_are_never_open_at_once()
    {
        ScenarioResult result = explored.Of("x-two.yaml", Read("x-two.yaml").Profile);
        Assert.Equal((Verdict.Exhausted, 3), (result.Result.Verdict, result.Outcomes));
        Assert.True(result.Result.Executions > 20);
        Assert.Equal(
            ["EPERM ok", "ok EPERM", "ok ok"],
            result.OutcomeTexts.Select(text => string.Join(' ', text.Split('\n').Where(answer => answer.Contains("\"cdev.bind\"", StringComparison.Ordinal))
                .Select(answer => answer.Contains("\"result\":\"ok\"", StringComparison.Ordinal) ? "ok" : answer.Contains("\"result\":\"EPERM\"", StringComparison.Ordinal) ? "EPERM" : answer)))
                .Order(StringComparer.Ordinal));
    }

    [Fact]
    public void A_removal_that_comes_first_leaves_nothing_to_open()
    {
        ScenarioResult result = explored.Of("x-rm.yaml", Read("x-rm.yaml").Profile);
        Assert.Contains(result.OutcomeTexts, text => text.Contains("\"mdev\":\"62177883-f1bb-47f0-914d-32a22e3a8804\",\"result\":\"ENOENT\"", StringComparison.Ordinal));
        Assert.Contains(result.OutcomeTexts, text => text.Contains("\"mdev\":\"62177883-f1bb-47f0-914d-32a22e3a8804\",\"result\":\"ok\"", StringComparison.Ordinal));
    }

    [Fact]
    public void A_bound_is_said_to_be_one()
    {
        ScenarioResult result = new ScenarioSearch(Read("two-openers.yaml")).Run(new ExploreOptions { ExecutionsMax = 3 });
        Assert.Equal(Verdict.BoundReached, result.Result.Verdict);
    }

    [Theory]
    [InlineData("machine: 'x'", "f.yaml:1:10: ")]
    [InlineData("nonsense: 1", "f.yaml:1:1: \"nonsense\" is not known; expected about, profile, finding, design, program, queueing, machine, setup, tasks or beliefs")]
    [InlineData("beliefs: [x]", "f.yaml:1:11: belief \"x\" is not known; expected one of: linked means domain plugged")]
    [InlineData("profile: linux-9", "f.yaml:1:10: profile \"linux-9\" is not known; 'apvirt profiles' lists them")]
    [InlineData("setup: ['{}']", "f.yaml:1:9: ")]
    [InlineData("about: [", "f.yaml:")]
    [InlineData("about: x", "f.yaml:1:1: expected \"machine\", the first line of a trace")]
    public void What_is_wrong_is_said_with_its_place(string text, string expected) =>
        Assert.StartsWith(expected, Scenario.Read("f.yaml", text, out _)!, StringComparison.Ordinal);
}

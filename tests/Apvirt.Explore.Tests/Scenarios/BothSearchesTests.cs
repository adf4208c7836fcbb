using Apvirt.Ap.Profiles;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;
using Apvirt.Host.Fuzzing;

namespace Apvirt.Explore.Tests.Scenarios;

/// <summary>
/// The two searches agree on the driver, in traces, outcomes and depth; where the one by keys does not come to its end in time,
/// drawn schedules show no outcome that the reduced one lacks. No key stands for two states.
/// </summary>
public sealed class BothSearchesTests(ExploredScenarios explored)
{
    private static readonly TimeSpan Short = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);
    private const long ShortDraws = 100;
    private const long LongDraws = 10_000;

    public static TheoryData<string, string, string> Files =>
    [
        .. from folder in (string[])["scenarios", "findings"]
           from file in Directory.GetFiles(ScenarioFiles.Folder(folder), "*.yaml").Order(StringComparer.Ordinal)
           from profile in folder == "findings" ? [Profile.Linux612] : (Profile[])[Profile.Strict, Profile.Linux612]
           where IsOnTheDriver(folder, Path.GetFileName(file))
           select new TheoryDataRow<string, string, string>(folder, Path.GetFileName(file), profile.Name),
    ];

    [Theory]
    [MemberData(nameof(Files))]
    public void Both_searches_agree(string folder, string name, string profile) => Compare(folder, name, profile, Short, ShortDraws);

    [Theory(Explicit = true)]
    [MemberData(nameof(Files))]
    public void Both_searches_agree_long(string folder, string name, string profile) => Compare(folder, name, profile, Long, LongDraws);

    // The largest take a quarter of an hour.
    [Theory(Explicit = true)]
    [InlineData("x-kvm.yaml")]
    [InlineData("x-zdev.yaml")]
    public void What_is_large_is_exhausted_and_nothing_else_is_drawn_long(string name)
    {
        Scenario scenario = ScenarioFiles.Read("scenarios", name);
        ExploreOptions options = new() { Jobs = Environment.ProcessorCount };
        ScenarioResult reduced = new ScenarioSearch(scenario).Run(options);
        Assert.Equal((Verdict.Exhausted, 0), (reduced.Result.Verdict, reduced.Violations.Count));
        ScenarioResult drawn = new ScenarioSearch(scenario).Run(options with { Strategy = Strategy.Random, ExecutionsMax = LongDraws });
        Assert.Empty(drawn.Violations.Select(violation => violation.Summary));
        Assert.Subset(reduced.OutcomeTexts.ToHashSet(), drawn.OutcomeTexts.ToHashSet());
    }

    [Fact]
    public void Both_searches_agree_about_random_callers() => CompareRandom(seed: 21, callersSets: 200);

    [Fact(Explicit = true)]
    public void Both_searches_agree_about_random_callers_long() => CompareRandom(seed: 22, callersSets: 2_000);

    private static bool IsOnTheDriver(string folder, string name) =>
        Scenario.Read(name, File.ReadAllText(Path.Combine(ScenarioFiles.Folder(folder), name)), out Scenario? scenario) is null && scenario is { Design: null, Program: null };

    private void Compare(string folder, string name, string profile, TimeSpan time, long draws)
    {
        Scenario scenario = ScenarioFiles.Read(folder, name) with { Profile = Profile.Find(profile)! };
        ScenarioResult reduced = explored.Of(folder, name, scenario.Profile);
        ExploreOptions options = new() { Jobs = Environment.ProcessorCount };
        ScenarioResult hashed = new ScenarioSearch(scenario).Run(options with { Strategy = Strategy.Hashed, TimeMax = time });
        Assert.Null(ScenarioSearch.Compare(reduced, hashed));
        // What is large is exhausted by a job of its own; until then nobody can say what it lacks.
        Assert.True(ScenarioFiles.IsLarge(name) || reduced.Result.Verdict != Verdict.BoundReached);
        if (reduced.Result.Verdict == Verdict.BoundReached || ScenarioSearch.AreComparable(reduced, hashed))
            return;
        Assert.Subset(reduced.OutcomeTexts.ToHashSet(), hashed.OutcomeTexts.ToHashSet());
        ScenarioResult drawn = new ScenarioSearch(scenario).Run(options with { Strategy = Strategy.Random, ExecutionsMax = draws });
        Assert.Subset(reduced.OutcomeTexts.ToHashSet(), drawn.OutcomeTexts.ToHashSet());
    }

    // What a spin lock's section meets is learnt after executions in which it was not counted yet.
    [Fact]
    public void Both_searches_agree_where_what_meets_others_is_learnt_late() => Assert.True(CompareEpisode(seed: 22, 360));

    // Two give a reference back: who is the last makes a difference, also to the one that is not.
    [Fact]
    public void Both_searches_agree_about_who_gives_back_the_last_reference() => Assert.True(CompareEpisode(seed: 22, 1310));

    private static void CompareRandom(ulong seed, int callersSets)
    {
        int compared = 0;
        for (int episode = 0; episode < callersSets; episode++)
            compared += CompareEpisode(seed, episode) ? 1 : 0;
        Assert.InRange(compared, callersSets / 2, callersSets);
    }

    private static bool CompareEpisode(ulong seed, int episode)
    {
        Scenario scenario = RandomScenarioTests.Make(FuzzPlan.Make(seed, episode, operations: 70, tasks: 1, Profile.Strict), callers: 2 + (episode % 3));
        ScenarioResult hashed = new ScenarioSearch(scenario).Run(new ExploreOptions { Strategy = Strategy.Hashed, ExecutionsMax = 600 });
        Assert.Null(hashed.Result.Hole);
        if (hashed.Result.Verdict == Verdict.BoundReached)
            return false;
        ScenarioResult reduced = new ScenarioSearch(scenario).Run(new ExploreOptions { ExecutionsMax = 600 });
        string callers = $"episode {episode}: {string.Join('\n', scenario.Tasks.Select(task => task.Operations[0]))}";
        Assert.True(ScenarioSearch.Compare(reduced, hashed) is null, $"{ScenarioSearch.Compare(reduced, hashed)}, {callers}");
        return ScenarioSearch.AreComparable(reduced, hashed);
    }
}

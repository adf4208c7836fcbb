using System.Text;
using Apvirt.Ap.Profiles;
using Apvirt.Host.Fuzzing;
using Apvirt.Host.Traces;
using Apvirt.Kernel.Checking;

namespace Apvirt.Host.Tests.Fuzzing;

/// <summary>Random operations by several tasks at once, everything checked.</summary>
public sealed class FuzzTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Under_strict_nothing_is_broken(ulong seed)
    {
        KernelChecks checks = new(Host.Checks.LockOrder.Declared);
        for (int episode = 0; episode < 60; episode++)
            Assert.Empty(FuzzRun.Run(FuzzPlan.Make(seed, episode, 480, tasks: 8, Profile.Strict), checks).Violations.Select(v => v.ToString()));
        Assert.True(checks.Violations.IsEmpty);
    }

    // One caller alone: what is refused has changed nothing (I30).
    [Theory]
    [InlineData(5)]
    [InlineData(6)]
    public void Alone_under_strict_nothing_is_broken_and_errors_change_nothing(ulong seed)
    {
        KernelChecks checks = new(Host.Checks.LockOrder.Declared);
        for (int episode = 0; episode < 40; episode++)
            Assert.Empty(FuzzRun.Run(FuzzPlan.Make(seed, episode, 480, tasks: 1, Profile.Strict), checks).Violations.Select(v => v.ToString()));
    }

    [Fact]
    public void Under_linux_612_findings_predict_what_is_broken()
    {
        KernelChecks checks = new(Host.Checks.LockOrder.Declared);
        for (int episode = 0; episode < 20; episode++)
            FuzzRun.Run(FuzzPlan.Make(7, episode, 480, tasks: 8, Profile.Linux612), checks, stopAtFirst: false);
        Assert.Contains(checks.Violations.ToArray(), v => v.Finding == "F03");
        Assert.Contains(checks.Violations.ToArray(), v => v.Finding == "F08");
    }

    [Fact]
    public void The_same_seed_gives_the_same_run_and_another_seed_another()
    {
        string Digest(ulong seed) => FuzzRun.Run(FuzzPlan.Make(seed, 0, 480, tasks: 8, Profile.Strict)).Digest;
        Assert.Equal(Digest(1), Digest(1));
        Assert.NotEqual(Digest(1), Digest(2));
    }

    [Fact]
    public void Priorities_are_another_run_of_the_same_plan_and_a_plan_keeps_them()
    {
        FuzzPlan plan = FuzzPlan.Make(3, 0, 480, tasks: 8, Profile.Strict);
        FuzzPlan byPriorities = plan with { HasPriorities = true };
        FuzzResult result = FuzzRun.Run(byPriorities);
        Assert.Equal((480, 0), (result.Operations, result.Violations.Count));
        Assert.NotEqual(FuzzRun.Run(plan).Digest, result.Digest);
        Assert.Null(FuzzPlan.Read("f.jsonl", Encoding.UTF8.GetBytes(byPriorities.ToText()), out FuzzPlan? read));
        Assert.True(read!.HasPriorities);
        Assert.NotEqual(FuzzRun.Run(read with { HasPriorities = false }).Digest, FuzzRun.Run(read).Digest);
    }

    [Fact]
    public void A_failure_shrinks_to_a_file_that_replays_exactly()
    {
        FuzzPlan plan = Enumerable.Range(0, 200)
            .Select(episode => FuzzPlan.Make(5, episode, 480, tasks: 4, Broken))
            .First(candidate => FuzzRun.Run(candidate).Violations.Count > 0);
        string rule = FuzzRun.Run(plan).Violations[0].Rule;
        FuzzPlan small = FuzzShrink.Shrink(plan, rule);
        Assert.InRange(small.Steps.Count, 1, 40);
        FuzzPlan named = small with { Profile = Profile.Strict };
        Assert.Null(FuzzPlan.Read("f.jsonl", Encoding.UTF8.GetBytes(named.ToText()), out FuzzPlan? read));
        Assert.Equal(named.Steps.Select(s => (s.Round, s.Task)), read!.Steps.Select(s => (s.Round, s.Task)));
        FuzzResult first = FuzzRun.Run(read with { Profile = Broken });
        Assert.Contains(first.Violations, v => v.Rule == rule);
        Assert.Equal(first.Digest, FuzzRun.Run(read with { Profile = Broken }).Digest);
    }

    [Theory]
    [InlineData("{\"trace\":\"apvirt-trace/1\"}\n", "host")]
    [InlineData("", "empty")]
    public void A_file_that_is_no_plan_is_refused_with_a_reason(string text, string reason)
    {
        TraceError? error = FuzzPlan.Read("f.jsonl", Encoding.UTF8.GetBytes(text), out _);
        Assert.Contains(reason, error!.Message, StringComparison.Ordinal);
    }

    // Two defects without the name of a profile that predicts them: a host that nobody has described.
    private static Profile Broken { get; } = new("broken", [Quirk.NoFilterAfterRemoval]) { PredictsFindings = false };
}

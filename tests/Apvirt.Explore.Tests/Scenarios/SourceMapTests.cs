using System.Reflection;
using Apvirt.Ap.Profiles;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;
using Apvirt.Host.Checks;

namespace Apvirt.Explore.Tests.Scenarios;

/// <summary>Each step says where it is done, in which function and under which locks (M133).</summary>
public sealed class SourceMapTests
{
    private const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    [Fact]
    public void Every_function_with_a_linux_name_is_one_of_ours()
    {
        new ScenarioSearch(ScenarioFiles.Read("scenarios", "x-perm.yaml")).Run(new ExploreOptions { ExecutionsMax = 1 });
        HashSet<string> methods =
        [
            .. AppDomain.CurrentDomain.GetAssemblies().Where(a => a.GetName().Name!.StartsWith("Apvirt.", StringComparison.Ordinal))
                .SelectMany(a => a.GetTypes()).SelectMany(type => type.GetMethods(All).Select(method => $"{type.Name}.{method.Name}")),
        ];
        Assert.Empty(LinuxFunctions.All.Keys.Except(methods));
    }

    [Fact]
    public void M133_step_4_of_F02_holds_guests_lock_and_mdevs_lock()
    {
        ScenarioResult result = new ScenarioSearch(ScenarioFiles.Read("findings", "f02-stale-pointer.yaml") with { Profile = Profile.Linux612 }).Run(new ExploreOptions());
        ScheduleStep step = result.Violations[0].Schedule.Steps[3];
        Assert.Equal(["guests_lock", "mdevs_lock"], step.Held.Select(held => held.Lock).Where(name => !name.StartsWith("kn_active", StringComparison.Ordinal)));
        Assert.Equal(("mdevs_lock", "unassign_adapter_store/unassign_domain_store"), (step.Target, step.Function));
        Assert.StartsWith("MatrixMdev.Unassign.cs:", step.Site, StringComparison.Ordinal);
        Assert.All(step.Held, held => Assert.Matches(@"^\w[\w.]*\.cs:\d+$", held.Site));
    }

    // A step that asks for a lock has a place, and whoever waits for ever too.
    [Theory]
    [InlineData("f01-listeners-held.yaml")]
    [InlineData("f07-second-bind.yaml")]
    [InlineData("remove-goes-first.yaml")]
    public void Every_step_at_a_lock_says_where(string name)
    {
        ScenarioResult result = new ScenarioSearch(ScenarioFiles.Read("findings", name) with { Profile = Profile.Linux612 }).Run(new ExploreOptions());
        Assert.NotEmpty(result.Violations);
        foreach (Schedule schedule in result.Violations.Take(2).Select(violation => violation.Schedule))
        {
            Assert.All(
                schedule.Steps.Where(step => step.Action.StartsWith("acquires", StringComparison.Ordinal) || step.Action is "enters" or "deletes"),
                step => Assert.True(step is { Site: not null, Function: not null }, step.ToString()));
        }
    }
}

using Apvirt.Ap.Profiles;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Tests.Profiles;

/// <summary>A deviation is a named quirk in one table (DESIGN.md "Two profiles").</summary>
public sealed class QuirkTableTests
{
    [Fact]
    public void EveryQuirkHasOneEntryWithItsFinding()
    {
        Assert.Equal(Enum.GetValues<Quirk>(), QuirkTable.Entries.Select(entry => entry.Quirk));
        Assert.All(QuirkTable.Entries, entry =>
        {
            Assert.NotEmpty(entry.Finding);
            Assert.NotEmpty(entry.Summary);
            Assert.NotEmpty(entry.Instead);
        });
    }

    [Fact]
    public void Linux612HasAllOfThemAndAProfileOnlyWhatItNames()
    {
        Profile one = new("one", [Quirk.TextCutInLine]);
        foreach (Quirk quirk in Enum.GetValues<Quirk>())
        {
            Assert.True(Profile.Linux612.Has(quirk));
            Assert.Equal(quirk == Quirk.TextCutInLine, one.Has(quirk));
        }
        Assert.Equal("linux-6.12", Profile.Linux612.Name);
    }

    [Fact]
    public void EveryRuleThatADeviationBreaksIsOneThatTheTableNames() => Assert.All(QuirkTable.Entries, entry =>
    {
        Assert.Equal(entry.Finding, entry.Deviation.Finding);
        Assert.Equal(
            entry.Breaks.Split(' ', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal),
            entry.Deviation.Lasting.Concat(entry.Deviation.AtOnce).Order(StringComparer.Ordinal));
    });

    [Fact]
    public void WhoAsksWithATaskDeviatesWhereTheProfileHasTheQuirk()
    {
        Assert.Equal("F04", FindingAfter(Profile.Linux612, Quirk.FailedEnableLeaks, deviates: true));
        Assert.Null(FindingAfter(Profile.Strict, Quirk.FailedEnableLeaks, deviates: false));
        Assert.Null(FindingAfter(new Profile("test of the checks", [Quirk.FailedEnableLeaks]) { PredictsFindings = false }, Quirk.FailedEnableLeaks, deviates: true));
    }

    [Fact]
    public void WhoIsNotCheckedDeviatesAllTheSame() =>
        Assert.True(Profile.Linux612.Deviates(new SimulationRuntime(seed: 1).CreateTask("alone"), Quirk.FailedEnableLeaks));

    private static string? FindingAfter(Profile profile, Quirk quirk, bool deviates)
    {
        KernelTask task = new SimulationRuntime(seed: 1) { Checks = new KernelChecks() }.CreateTask("who asks");
        Assert.Null(task.Checks!.FindingOf(task, "I22"));
        Assert.Equal(deviates, profile.Deviates(task, quirk));
        return task.Checks.FindingOf(task, "I22");
    }
}

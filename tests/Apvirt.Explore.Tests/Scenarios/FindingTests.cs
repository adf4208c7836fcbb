using Apvirt.Ap.Profiles;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;

namespace Apvirt.Explore.Tests.Scenarios;

/// <summary>Each finding of invariants.md that exists in the code is found in its minimal configuration, and gone under strict.</summary>
public sealed class FindingTests(ExploredScenarios explored)
{
    // What invariants.md says each finding violates, as far as its configuration goes: I11 needs a new owner of the queue, so
    // F06 has two, and of F21 the code of the reset says that the queue is clean. F16 breaks the rules of vfio.md §6, F20 M089. F02 and F06 are one quirk, so F06 has I10 too; a subclass that stays
    // registered with a page that stays pinned is I22, and unlocking in the wrong order I28.
    public static TheoryData<string, string, string> Expected => new()
    {
        { "f01-listeners-held", "F01", "I27 I28 V01" },
        { "f02-stale-pointer", "F02", "I10" },
        { "f03-no-filter-after-unassign", "F03", "V02" },
        { "f03-no-filter-after-removal", "F03", "V02" },
        { "f04-failed-enable-leaks", "F04", "I21 I22" },
        { "f05-freed-while-armed", "F05", "I20" },
        { "f06-filtered-but-armed", "F06", "I10 I20 I21 I22" },
        { "f06-armed-for-another", "F06", "I10 I11 I20 I21 I22" },
        { "f07-second-bind", "F07", "I17 I18" },
        { "f08-config-shown-unlocked", "F08", "I26 V06" },
        { "f09-request-read-unlocked", "F09", "I26" },
        { "f10-created-unlocked", "F10", "I26" },
        { "f12-endless-reset", "F12", "V04" },
        { "f13-reset-does-not-filter", "F13", "I04 V03" },
        { "f14-function-left-behind", "F14", "I30 I35" },
        { "f16-foreign-association", "F16", "R1" },
        { "f17-binding-read-unlocked", "F17", "I26" },
        { "f18-group-closed-first", "F18", "M100" },
        { "f19-subclasses-forgotten", "F19", "I22" },
        { "f19-idle-guest-sleeps-on", "F19", "I22 V08" },
        { "f20-looks-then-takes", "F20", "M089 V06" },
        { "f21-unexpected-code", "F21", "I21 I22" },
        { "offered-before-listed", "vfio-ap.md 8", "I15" },
        { "remove-goes-first", "vfio.md 10", "I30" },
        { "running-scan-shared", "ap-bus.md 5", "V06" },
    };

    private ScenarioResult Explore(string name, Profile profile, out Scenario scenario)
    {
        scenario = ScenarioFiles.Read("findings", name + ".yaml") with { Profile = profile };
        return explored.Of("findings", name + ".yaml", profile);
    }

    [Theory]
    [MemberData(nameof(Expected))]
    public void It_is_found_under_linux_612_and_gone_under_strict(string name, string finding, string broken)
    {
        ScenarioResult linux = Explore(name, Profile.Linux612, out Scenario scenario);
        Assert.Equal(finding, scenario.Finding);
        Assert.Equal(Verdict.Exhausted, linux.Result.Verdict);
        Assert.Empty(linux.Unpredicted.Select(v => $"{v.Rule} {v.Summary}"));
        string[] own = [.. linux.Violations.Where(v => v.Finding!.Split(", ").Contains(finding)).Select(v => v.Rule).Distinct().Order(StringComparer.Ordinal)];
        Assert.Equal(broken, string.Join(' ', own));

        ScenarioResult strict = Explore(name, Profile.Strict, out _);
        Assert.Equal(Verdict.Exhausted, strict.Result.Verdict);
        Assert.Empty(strict.Violations.Select(v => $"{v.Rule} {v.Summary}"));
    }

    [Fact]
    public void The_document_is_what_exploring_found()
    {
        List<ShownFinding> shown = [];
        foreach (string file in Directory.GetFiles(ScenarioFiles.Folder("findings"), "*.yaml").Order(StringComparer.Ordinal))
        {
            string name = Path.GetFileNameWithoutExtension(file);
            ScenarioResult strict = Explore(name, Profile.Strict, out _);
            ScenarioResult linux = Explore(name, Profile.Linux612, out Scenario scenario);
            shown.Add(new ShownFinding($"examples/findings/{name}.yaml", scenario, linux, strict));
        }
        Assert.Equal(Expected.Count, shown.Count);
        string path = Path.Combine(ScenarioFiles.Root, "docs", "findings.md");
        string expected = FindingsDocument.Format(shown);
        if (Environment.GetEnvironmentVariable("APVIRT_WRITE_DOCS") == "1")
            File.WriteAllText(path, expected);
        Assert.True(File.Exists(path), "docs/findings.md is missing: APVIRT_WRITE_DOCS=1 ./test Explore writes it");
        Assert.True(expected == File.ReadAllText(path), "docs/findings.md is stale: APVIRT_WRITE_DOCS=1 ./test Explore writes it anew");
    }
}

using System.Text.Json;
using System.Xml.Linq;
using Apvirt.Cli.Rendering;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;
using static Apvirt.Cli.Tests.CommandRun;

namespace Apvirt.Cli.Tests;

/// <summary><c>apvirt explore</c>: what it prints and writes, its exit status, and what it refuses.</summary>
public sealed class ExploreCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("apvirt-test").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static string Scenario(string name) => Example(Path.Combine("scenarios", name));

    private string File(string name) => Path.Combine(_folder, name);

    [Fact]
    public void It_says_exhausted_and_how_many_traces()
    {
        (int status, string output, _) = Run("", "explore", Scenario("x-perm.yaml"));
        Assert.Equal(0, status);
        Assert.Matches("^a store to apmask against an assignment to a running guest, under strict\nexhausted \\([0-9]+ traces\\), 2 outcomes, 0 violations", output);
        JsonElement json = JsonSerializer.Deserialize<JsonElement>(Run("", "explore", Scenario("x-perm.yaml"), "--json").Out);
        Assert.Equal(2, json.GetProperty("outcomes").GetInt32());
        // All interleavings have the same outcomes.
        json = JsonSerializer.Deserialize<JsonElement>(Run("", "explore", Scenario("x-perm.yaml"), "--json", "--strategy", "naive").Out);
        Assert.Equal(2, json.GetProperty("outcomes").GetInt32());
    }

    [Theory]
    [InlineData("--executions", "1")]
    [InlineData("--preemptions", "0")]
    [InlineData("--strategy", "random", "--executions", "50")]
    [InlineData("--strategy", "pct", "--executions", "50")]
    public void A_bound_is_said_to_be_one(params string[] options)
    {
        (int status, string output, _) = Run("", ["explore", Scenario("two-openers.yaml"), .. options]);
        Assert.Equal(0, status);
        Assert.StartsWith("bound reached after ", output.Split('\n')[1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--executions", "0")]
    [InlineData("--preemptions", "-1")]
    [InlineData("--time", "0")]
    [InlineData("--jobs", "0")]
    [InlineData("--strategy", "clever")]
    [InlineData("--html", "/nosuch/page.html")]
    public void What_cannot_be_done_is_bad_input(params string[] options)
    {
        (int status, _, string error) = Run("", ["explore", Scenario("x-perm.yaml"), .. options]);
        Assert.Equal(2, status);
        Assert.NotEmpty(error);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal);
    }

    [Fact]
    public void It_saves_and_replays_a_violation()
    {
        string saved = File("schedule.json");
        (int status, string output, _) = Run("", "explore", Scenario("belief-domain-removed.yaml"), "--save", saved);
        Assert.Equal(1, status);
        Assert.Contains("linked means domain plugged: queue 04.0004 is linked", output, StringComparison.Ordinal);
        (status, output, _) = Run("", "explore", Scenario("belief-domain-removed.yaml"), "--replay", saved);
        Assert.Equal(1, status);
        Assert.EndsWith(" steps, linked means domain plugged again\n", output, StringComparison.Ordinal);
        (status, _, string error) = Run("", "explore", Scenario("x-perm.yaml"), "--replay", saved);
        Assert.Equal(2, status);
        Assert.StartsWith($"{saved}: step 1 should be ", error, StringComparison.Ordinal);
        foreach (string wrong in (string[])["nonsense", "{}", "{\"profile\":\"strict\"}"])
        {
            System.IO.File.WriteAllText(saved, wrong);
            (status, _, error) = Run("", "explore", Scenario("x-perm.yaml"), "--replay", saved);
            Assert.Equal(2, status);
            Assert.Contains("expected a schedule", error, StringComparison.Ordinal);
        }
        Assert.Equal(2, Run("", "explore", "/nosuch.yaml").Status);
    }

    [Fact]
    public void A_schedule_with_points_everywhere_replays_with_points_everywhere()
    {
        string saved = File("schedule.json");
        (int status, string output, _) = Run("", "explore", Scenario("belief-domain-removed.yaml"), "--points", "all", "--save", saved);
        Assert.Equal(1, status);
        Assert.Contains("ap_perms_mutex (releases)", output, StringComparison.Ordinal);
        (status, output, _) = Run("", "explore", Scenario("belief-domain-removed.yaml"), "--replay", saved);
        Assert.Equal(1, status);
        Assert.EndsWith(" steps, linked means domain plugged again\n", output, StringComparison.Ordinal);
        Assert.Equal(2, Run("", "explore", Scenario("x-perm.yaml"), "--points", "some").Status);
    }

    [Fact]
    public void It_writes_a_page_a_trace_and_a_test_report()
    {
        (int status, string output, _) = Run(
            "", "explore", Scenario("belief-domain-removed.yaml"), "--html", File("page.html"), "--trace", File("trace.json"), "--junit", File("junit.xml"));
        Assert.Equal(1, status);
        string verdict = output.TrimEnd().Split('\n')[^1];

        XElement page = XElement.Parse(System.IO.File.ReadAllText(File("page.html")).Replace("<!doctype html>", "", StringComparison.Ordinal).Replace("<meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">", "", StringComparison.Ordinal));
        Assert.Contains(verdict, page.Value, StringComparison.Ordinal);
        Assert.Equal(["timeline"], page.Descendants("svg").Select(svg => svg.Attribute("aria-label")!.Value));
        Assert.DoesNotContain("http", System.IO.File.ReadAllText(File("page.html")), StringComparison.Ordinal);

        JsonElement events = JsonSerializer.Deserialize<JsonElement>(System.IO.File.ReadAllText(File("trace.json"))).GetProperty("traceEvents");
        AssertSlicesNest(events);
        Assert.Contains(events.EnumerateArray(), e => e.GetProperty("name").GetString() == "guests_lock");

        XElement suite = XElement.Parse(System.IO.File.ReadAllText(File("junit.xml")));
        Assert.Equal(("2", "1"), (suite.Attribute("tests")!.Value, suite.Attribute("failures")!.Value));
        Assert.Equal(verdict, suite.Elements("testcase").First().Value);
    }

    // Each slice lies within the ones around it, as the locks nest.
    private static void AssertSlicesNest(JsonElement events)
    {
        foreach (IGrouping<int, JsonElement> thread in events.EnumerateArray().Where(e => e.GetProperty("ph").GetString() == "X").GroupBy(e => e.GetProperty("tid").GetInt32()))
        {
            (long From, long To)[] slices = [.. thread.Select(e => (e.GetProperty("ts").GetInt64(), e.GetProperty("ts").GetInt64() + e.GetProperty("dur").GetInt64()))];
            Assert.All(slices, one => Assert.All(slices, other => Assert.True(one.To <= other.From || other.To <= one.From || (one.From <= other.From && other.To <= one.To) || (other.From <= one.From && one.To <= other.To))));
        }
    }

    [Fact]
    public void Who_waits_for_ever_is_seen_at_the_end_of_each_lane()
    {
        string file = Example("findings/f01-listeners-held.yaml");
        string page = File("page.html");
        (int status, string output, _) = Run("", "explore", file, "--html", page);
        Assert.Equal(0, status);
        // A deadlock: the one waits for the lock that the other holds (F01).
        string[] lines = output.Split('\n');
        int at = Array.FindIndex(lines, line => line.StartsWith("V01, predicted by F01: deadlock: first unmap holds device_list_lock", StringComparison.Ordinal));
        string[] lanes = lines[at + 1].Split("  ", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        string last = lines.Skip(at).First(line => line.TrimStart().StartsWith("waits for", StringComparison.Ordinal));
        string[] waits = last.Split("  ", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        Assert.Equal(
            [("first unmap", "waits for iommu->lock"), ("second unmap", "waits for device_list_lock")],
            lanes.Zip(waits).Order());
        // Who holds it, since where, and in which function.
        Assert.Contains(lines.Skip(at), line => line.Contains("waits for iommu->lock at PinnedPages.cs:", StringComparison.Ordinal) && line.Contains("(vfio_unpin_pages), held by second unmap since Type1Iommu.cs:", StringComparison.Ordinal));
        // On the page the cycle is a cycle: two locks, and an arrow from each to the other.
        XElement deadlock = XElement.Parse(System.IO.File.ReadAllText(page).Split("<section ")[^1].Replace("</main></body></html>", "", StringComparison.Ordinal).Insert(0, "<section "));
        XElement cycle = Assert.Single(deadlock.Descendants("svg"), svg => svg.Attribute("aria-label")!.Value == "cycle of locks");
        Assert.Equal(["device_list_lock", "iommu->lock"], cycle.Elements("text").Where(text => text.Attribute("text-anchor")!.Value == "middle" && !text.Value.Contains(' ', StringComparison.Ordinal)).Select(text => text.Value).Order(StringComparer.Ordinal));
        Assert.Equal(2, cycle.Elements("path").Count(path => path.Attribute("class")!.Value == "arc"));

        Assert.Null(Explore.Scenarios.Scenario.Read(file, System.IO.File.ReadAllText(file), out Explore.Scenarios.Scenario? scenario));
        ScenarioViolation violation = new ScenarioSearch(scenario!).Run(new ExploreOptions()).Violations.First(v => v.Rule == "V01");
        JsonElement events = JsonSerializer.Deserialize<JsonElement>(TimelineTrace.Text(scenario!, violation)).GetProperty("traceEvents");
        AssertSlicesNest(events);
        Assert.Equal(
            ["waits for device_list_lock", "waits for iommu->lock"],
            events.EnumerateArray().Select(e => e.GetProperty("name").GetString()!).Where(name => name.StartsWith("waits", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void M133_any_violation_can_be_chosen()
    {
        string file = Example("findings/f01-listeners-held.yaml");
        (int status, string output, _) = Run("", "explore", file);
        Assert.Equal(0, status);
        string[] titles = [.. output.Split('\n').Where(line => line.Contains(", predicted by F01: ", StringComparison.Ordinal))];
        Assert.InRange(titles.Length, 2, 20);
        for (int number = 1; number <= titles.Length; number++)
        {
            (status, _, _) = Run("", "explore", file, "--violation", $"{number}", "--save", File("chosen.json"), "--html", File("chosen.html"), "--junit", File("chosen.xml"));
            Assert.Equal(0, status);
            string rule = titles[number - 1].Split(',')[0];
            Assert.Equal(rule, JsonSerializer.Deserialize<JsonElement>(System.IO.File.ReadAllText(File("chosen.json"))).GetProperty("rule").GetString());
            Assert.Equal(2, System.IO.File.ReadAllText(File("chosen.html")).Split("<section ").Length);
            Assert.StartsWith(rule, XElement.Parse(System.IO.File.ReadAllText(File("chosen.xml"))).Elements("testcase").Last().Attribute("name")!.Value, StringComparison.Ordinal);
        }
        (status, _, string error) = Run("", "explore", file, "--violation", $"{titles.Length + 1}");
        Assert.Equal((2, $"--violation {titles.Length + 1}: there are {titles.Length}\n"), (status, error.Split('\n')[^2] + "\n"));
    }

    [Fact]
    public void M133_a_design_writes_what_the_driver_does()
    {
        System.IO.File.WriteAllText(File("design.yaml"), "about: one lock\ndesign: A-guest\n");
        (int status, string output, _) = Run("", "explore", File("design.yaml"), "--save", File("design.json"), "--html", File("design.html"), "--trace", File("design.trace"), "--junit", File("design.xml"));
        Assert.Equal(0, status);
        Assert.Contains("waits for kvm->lock at ", output, StringComparison.Ordinal);
        // Three wait for each other (M033, M034).
        Assert.Equal(4, System.IO.File.ReadAllText(File("design.html")).Split("class=\"arc\"").Length);
        Assert.Equal("2", XElement.Parse(System.IO.File.ReadAllText(File("design.xml"))).Attribute("tests")!.Value);
        AssertSlicesNest(JsonSerializer.Deserialize<JsonElement>(System.IO.File.ReadAllText(File("design.trace"))).GetProperty("traceEvents"));
        (status, output, _) = Run("", "explore", File("design.yaml"), "--replay", File("design.json"));
        Assert.Equal((1, "deadlock"), (status, output.Split('\n')[0]));
    }

    [Fact]
    public void Designs_show_each_its_defect()
    {
        (int status, string output, _) = Run("", "designs", "A-guest", "D");
        Assert.Equal(0, status);
        // Traces and deadlocks of S2-bug and S2-fixed (EXPLORE.md).
        Assert.Matches("(?m)^A-guest +7 +deadlock in 1 ", output);
        Assert.Matches("(?m)^D +6 +none ", output);
        Assert.Contains("A-guest: kvm->lock -> vcpu->mutex -> matrix_dev->lock -> kvm->lock confirmed", output, StringComparison.Ordinal);
        JsonElement json = JsonSerializer.Deserialize<JsonElement>(Run("", "designs", "D", "--json").Out);
        Assert.Equal(6, json[0].GetProperty("result").GetProperty("executions").GetInt32());
        Assert.Equal(2, Run("", "designs", "E").Status);
    }

    [Fact]
    public void A_scenario_can_be_a_historical_design()
    {
        (int status, string output, _) = Run("", "explore", CommandRun.Example("scenarios/seed-stolen-queue.yaml"));
        Assert.Equal(0, status);
        // The store tries before the assignment: it is done before that tries, and writes before or after that reads, or that is
        // refused. The assignment tries first: the store is refused, or finds the queue assigned.
        Assert.Matches("(?m)^I13, predicted by the design: the queue was stolen.*, in 1 execution$", output);
        Assert.Matches("(?m)^exhausted \\(5 traces\\), .* 0 violations, 1 predicted", output);
        Assert.Matches("(?m)^exhausted \\(6 traces\\), .* 0 violations, 0 predicted", Run("", "explore", CommandRun.Example("scenarios/seed-final.yaml")).Out);
        string file = Path.GetTempFileName();
        System.IO.File.WriteAllText(file, "design: E\n");
        Assert.Contains("design \"E\" is not known", Run("", "explore", file).Error, StringComparison.Ordinal);
        System.IO.File.WriteAllText(file, "design: D\nsetup: []\ntasks: {a: ['{\"op\":\"queue.resets\"}']}\n");
        Assert.Contains("a design brings its own machine and callers", Run("", "explore", file).Error, StringComparison.Ordinal);
        System.IO.File.Delete(file);
    }

    [Fact]
    public void A_bound_of_preemptions_and_another_strategy_exclude_each_other()
    {
        string scenario = CommandRun.Example("scenarios/x-perm.yaml");
        (int status, _, string error) = Run("", "explore", scenario, "--preemptions", "1", "--strategy", "random");
        Assert.Equal(2, status);
        Assert.Contains("--preemptions is not for --engine random", error, StringComparison.Ordinal);
        Assert.Equal(0, Run("", "explore", scenario, "--preemptions", "1", "--strategy", "naive").Status);
    }

    [Fact]
    public void M106_the_design_with_the_transient_defect_is_kept_as_a_variant_and_tells_its_defects()
    {
        (int status, string output, _) = Run("", "designs", "B1");
        Assert.Equal(0, status);
        Assert.Matches("(?m)^B1 +5 +I13: the queue was stolen", output);
        // What a host runs is the final design: a mask never takes an assigned queue.
        Assert.DoesNotContain("violations:", Run("", "explore", CommandRun.Example("scenarios/x-perm.yaml")).Out, StringComparison.Ordinal);
        Assert.Contains("0 violations", Run("", "explore", CommandRun.Example("scenarios/x-perm.yaml")).Out, StringComparison.Ordinal);
    }
}

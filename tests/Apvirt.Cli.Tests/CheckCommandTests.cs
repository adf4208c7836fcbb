using System.Text.Json;

namespace Apvirt.Cli.Tests;

/// <summary>The commands that check: what they print, their exit status, and what they refuse.</summary>
public sealed class CheckCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("apvirt-test").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static (int Status, string Out, string Error) Run(string input, params string[] args)
    {
        StringWriter output = new();
        StringWriter error = new();
        int status = CommandLine.Run(args, new CommandIo(new StringReader(input), output, error));
        return (status, output.ToString(), error.ToString());
    }

    private static string Root
    {
        get
        {
            DirectoryInfo? at = new(AppContext.BaseDirectory);
            while (at is not null && !File.Exists(Path.Combine(at.FullName, "Apvirt.slnx")))
                at = at.Parent;
            return at!.FullName;
        }
    }

    private static string Example(string name) => Path.Combine(Root, "examples", name);

    [Fact]
    public void Fuzzing_twice_with_a_seed_gives_the_same_trace_and_another_seed_another()
    {
        string output = Path.Combine(_folder, "failure.jsonl");
        string Digest(string seed)
        {
            (int status, string text, _) = Run("", "fuzz", "--seed", seed, "--operations", "2000", "--tasks", "4", "--output", output);
            Assert.Equal(0, status);
            Assert.StartsWith($"seed {seed}: 2000 operations by 4 tasks under strict, 0 violations, trace sha256 ", text, StringComparison.Ordinal);
            return text[^65..];
        }

        string first = Digest("7");
        Assert.Equal(first, Digest("7"));
        Assert.NotEqual(first, Digest("8"));
        Assert.False(File.Exists(output));
    }

    [Theory]
    [InlineData("fuzz", "--operations", "0")]
    [InlineData("fuzz", "--tasks", "-1")]
    [InlineData("fuzz", "--profile", "linux-9")]
    [InlineData("fuzz", "--replay", "/nosuch.jsonl")]
    [InlineData("locks", "/nosuch.jsonl", "--dot")]
    [InlineData("replay", "--profile", "linux-9")]
    public void What_cannot_be_done_is_bad_input(params string[] args)
    {
        (int status, _, string error) = Run("", args);
        Assert.Equal(2, status);
        Assert.NotEmpty(error);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_recording_is_no_fuzz_failure()
    {
        string trace = Directory.EnumerateFiles(Path.Combine(Root, "tests", "conformance", "traces")).First();
        (int status, _, string error) = Run("", "fuzz", "--replay", trace);
        Assert.Equal(2, status);
        Assert.Contains("expected a field \"fuzz\"", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Profiles_name_each_quirk_its_finding_and_what_it_breaks()
    {
        (int status, string output, _) = Run("", "profiles");
        Assert.Equal(0, status);
        Assert.Contains("StaleQueueLink (F02, F06, breaks I10 I11 I20 I21)", output, StringComparison.Ordinal);
        JsonElement json = JsonSerializer.Deserialize<JsonElement>(Run("", "profiles", "--json").Out);
        Assert.Equal(["linux-6.12", "strict"], json.GetProperty("profiles").EnumerateArray().Select(p => p.GetProperty("name").GetString()!));
        Assert.Equal(0, json.GetProperty("profiles")[1].GetProperty("quirks").GetArrayLength());
    }

    [Fact]
    public void Locks_shows_what_was_held_while_what_was_taken()
    {
        string traces = Path.Combine(Root, "tests", "conformance", "traces");
        (int status, string output, _) = Run("", "locks", traces);
        Assert.Equal(0, status);
        Assert.Contains(output.Split('\n'), line => line.StartsWith("guests_lock ", StringComparison.Ordinal) && line.Contains(" kvm->lock ", StringComparison.Ordinal));
        Assert.StartsWith("digraph locks {", Run("", "locks", "--dot", traces).Out, StringComparison.Ordinal);
        JsonElement json = JsonSerializer.Deserialize<JsonElement>(Run("", "locks", "--json", traces).Out);
        Assert.Contains(json.GetProperty("classes").EnumerateArray(), c => c.GetProperty("name").GetString() == "ap_perms_mutex");
    }

    private static string Scenario(string name) => Path.Combine(Root, "examples", "scenarios", name);

    [Fact]
    public void Explore_says_exhausted_and_how_many_traces()
    {
        (int status, string output, _) = Run("", "explore", Scenario("x-perm.yaml"));
        Assert.Equal(0, status);
        Assert.StartsWith("a store to apmask against an assignment to a running guest, under strict\nexhausted (4 traces), 2 outcomes, 0 violations", output, StringComparison.Ordinal);
        Assert.StartsWith("bound reached after 1 executions", Run("", "explore", Scenario("x-perm.yaml"), "--executions", "1").Out.Split('\n')[1], StringComparison.Ordinal);
        JsonElement json = JsonSerializer.Deserialize<JsonElement>(Run("", "explore", Scenario("x-perm.yaml"), "--json").Out);
        Assert.Equal(4, json.GetProperty("result").GetProperty("executions").GetInt32());
    }

    [Fact]
    public void Explore_shows_saves_and_replays_a_violation()
    {
        string saved = Path.Combine(_folder, "schedule.json");
        (int status, string output, _) = Run("", "explore", Scenario("belief-domain-removed.yaml"), "--save", saved);
        Assert.Equal(1, status);
        Assert.Contains("linked means domain plugged, in 1 executions: queue 04.0004 is linked", output, StringComparison.Ordinal);
        (status, output, _) = Run("", "explore", Scenario("belief-domain-removed.yaml"), "--replay", saved);
        Assert.Equal(1, status);
        Assert.EndsWith(" steps, linked means domain plugged again\n", output, StringComparison.Ordinal);
        (status, _, string error) = Run("", "explore", Scenario("x-perm.yaml"), "--replay", saved);
        Assert.Equal(2, status);
        Assert.StartsWith($"{saved}: step 1 should be ", error, StringComparison.Ordinal);
        File.WriteAllText(saved, "nonsense");
        Assert.Equal(2, Run("", "explore", Scenario("x-perm.yaml"), "--replay", saved).Status);
        Assert.Equal(2, Run("", "explore", "/nosuch.yaml").Status);
    }

    [Fact]
    public void Up_with_checks_says_what_it_found()
    {
        (int status, string output, _) = Run("guest stop g1\n", "up", Example("three-guests.yaml"), "--check");
        Assert.Equal(0, status);
        Assert.EndsWith(", 0 unexpected", output.TrimEnd(), StringComparison.Ordinal);
    }
}

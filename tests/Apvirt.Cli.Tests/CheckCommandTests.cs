using System.Text.Json;
using static Apvirt.Cli.Tests.CommandRun;

namespace Apvirt.Cli.Tests;

/// <summary>The commands that check: what they print, their exit status, and what they refuse.</summary>
public sealed class CheckCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("apvirt-test").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void M135_the_argument_is_printed_and_fails_where_it_is_broken()
    {
        (int status, string output, _) = CommandRun.Run("", "locks", "--argument", "--profile", "linux-6.12");
        Assert.Equal(1, status);
        Assert.Matches(@"(?m)^2  checked ", output);
        Assert.Matches(@"(?m)^ +! device_list_lock → .* is not declared \(F01\)$", output);
        Assert.EndsWith("The argument is broken under linux-6.12, at 2.", output.TrimEnd(), StringComparison.Ordinal);
        Assert.Equal(2, CommandRun.Run("", "locks").Status);
    }

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
        Assert.Contains("StaleQueueLink (F02, F06, breaks I10 I11 I20 I21 I22 I23 I36)", output, StringComparison.Ordinal);
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

    [Fact]
    public void Up_with_checks_says_what_it_found()
    {
        (int status, string output, _) = Run("guest stop g1\n", "up", Example("three-guests.yaml"), "--check");
        Assert.Equal(0, status);
        Assert.EndsWith(", 0 unexpected", output.TrimEnd(), StringComparison.Ordinal);
    }
}

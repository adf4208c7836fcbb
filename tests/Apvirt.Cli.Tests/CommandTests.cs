using System.Text.Json;
using Apvirt.Cli.Prompt;
using static Apvirt.Cli.Tests.CommandRun;

namespace Apvirt.Cli.Tests;

/// <summary>The command as a user runs it: output, messages, exit status.</summary>
public sealed class CommandTests : IDisposable
{
    private const string Header = """{"trace":"apvirt-trace/1","about":"t","host":{"apxa":true,"max_adapter":255,"max_domain":255,"adapters":[4],"domains":[4],"control_domains":[4],"type":"CEX8P (hwtype 14)"},"apmask":"0x0","aqmask":"0x0"}""";

    private readonly string _folder = Directory.CreateTempSubdirectory("apvirt-test").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string File(string name, params string[] lines)
    {
        string path = Path.Combine(_folder, name);
        System.IO.File.WriteAllLines(path, lines);
        return path;
    }

    [Fact]
    public void Replay_of_equal_answers_ends_with_0()
    {
        string trace = File("a.jsonl", Header, """{"op":"driver","device":"04.0004","value":"vfio_ap"}""");
        (int status, string output, _) = Run("", "replay", trace);
        Assert.Equal((0, "1 traces, 1 operations, 0 differences\n"), (status, output));
    }

    [Fact]
    public void Replay_shows_differences_and_ends_with_1()
    {
        File("a.jsonl", Header, """{"op":"list","what":"queues","value":["04.0004","04.0005"]}""");
        (int status, string output, _) = Run("", "replay", _folder);
        Assert.Equal(1, status);
        Assert.Contains("a.jsonl:2: {\"op\":\"list\",\"what\":\"queues\"}", output, StringComparison.Ordinal);
        Assert.Contains("- value recorded only: 04.0005", output, StringComparison.Ordinal);
        Assert.EndsWith("1 traces, 1 operations, 1 differences\n", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Replay_gives_json_to_programs()
    {
        string trace = File("a.jsonl", Header, """{"op":"driver","device":"04.0004","value":"none"}""");
        JsonElement json = JsonSerializer.Deserialize<JsonElement>(Run("", "replay", "--json", trace).Out);
        Assert.Equal(1, json.GetProperty("differences").GetInt32());
        Assert.Equal("vfio_ap", json.GetProperty("traces")[0].GetProperty("differences")[0].GetProperty("answered").GetString());
    }

    [Theory]
    [InlineData("replay")]
    [InlineData("run")]
    [InlineData("show")]
    public void A_broken_trace_is_bad_input(string command)
    {
        string trace = File("a.jsonl", Header, "{\"op\":\"nonsense\"}");
        (int status, _, string error) = Run("", command, trace);
        Assert.Equal(2, status);
        Assert.StartsWith($"{trace}:2:2: operation \"nonsense\" is not known", error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("replay", "/nosuch.jsonl")]
    [InlineData("show", "/nosuch.yaml")]
    [InlineData("up", "/nosuch.yaml")]
    public void A_missing_file_is_bad_input(string command, string path)
    {
        (int status, _, string error) = Run("", command, path);
        Assert.Equal(2, status);
        Assert.Equal($"{path}:1:1: there is no such file\n", error);
    }

    [Fact]
    public void A_recording_that_cannot_be_written_is_bad_input()
    {
        (int status, _, string error) = Run("", "up", Example("minimal.yaml"), "--record", Path.Combine(_folder, "no", "such", "folder.jsonl"));
        Assert.Equal(2, status);
        Assert.Contains("the recording cannot be written", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Bad_usage_is_bad_input()
    {
        Assert.Equal(2, Run("", "replay").Status);
        Assert.Equal(2, Run("", "nonsense").Status);
        Assert.Equal(0, Run("", "--help").Status);
    }

    [Fact]
    public void A_broken_description_is_bad_input()
    {
        string host = File("h.yaml", "adapters:", "  - id: 5", "    type: CEX9C", "domains: 4");
        (int status, _, string error) = Run("", "up", host);
        Assert.Equal((2, $"{host}:3:11: adapter type \"CEX9C\" is not known; expected CEX4 to CEX8 followed by A, C or P\n"), (status, error));
    }

    [Fact]
    public void Run_gives_a_trace_its_answers_and_they_replay()
    {
        string trace = File("a.jsonl", Header, """{"op":"driver","device":"04.0004"}""", """{"op":"read","path":"/sys/bus/ap/bindings"}""");
        (int status, string output, _) = Run("", "run", trace);
        Assert.Equal(0, status);
        Assert.Equal(
            [Header, """{"op":"driver","device":"04.0004","value":"vfio_ap"}""", """{"op":"read","path":"/sys/bus/ap/bindings","value":"1/1 (complete)\n"}"""],
            output.TrimEnd().Split('\n'));
        Assert.Equal(0, Run("", "replay", File("b.jsonl", output.TrimEnd().Split('\n'))).Status);
    }

    [Fact]
    public void Show_draws_who_owns_what()
    {
        (int status, string output, _) = Run("", "show", Example("three-guests.yaml"));
        Assert.Equal(0, status);
        string[] lines = output.Split('\n');
        Assert.Equal("      0004 0047 00ab 00ff", lines[0]);
        Assert.Equal("05    A*   B*   A*   B*", lines[1]);
        Assert.Equal("06    A*   C*   A*   C*", lines[2]);
        Assert.DoesNotContain('\u001b', output);
    }

    [Fact]
    public void Show_gives_json_to_programs()
    {
        JsonElement json = JsonSerializer.Deserialize<JsonElement>(Run("", "show", "--json", Example("three-guests.yaml")).Out);
        JsonElement queue = json.GetProperty("queues").EnumerateArray().First(q => q.GetProperty("apqn").GetString() == "05.00ff");
        Assert.Equal("22222222-2222-4222-8222-222222222222", queue.GetProperty("mdev").GetString());
        Assert.Equal("g2", queue.GetProperty("guest").GetString());
        Assert.Equal("in use", queue.GetProperty("status").GetString());
    }

    [Fact]
    public void Up_takes_commands_from_its_input_and_records_them()
    {
        string recording = Path.Combine(_folder, "r.jsonl");
        (int status, string output, string error) = Run(
            """
            # a comment
            read /sys/bus/ap/bindings
            write /sys/bus/ap/apmask +5
            guest stop g2
            guest start g2 G2 no-req-irq
            write /sys/devices/vfio_ap/matrix/22222222-2222-4222-8222-222222222222/remove 1
            nonsense
            """,
            "up", Example("three-guests.yaml"), "--record", recording);
        Assert.Equal(2, status);
        Assert.Contains("8/8 (complete)\n", output, StringComparison.Ordinal);
        Assert.Contains("blocked", output, StringComparison.Ordinal);
        Assert.Contains("EBUSY: Device or resource busy\n", error, StringComparison.Ordinal);
        Assert.Contains("queue 05.0047 cannot be reserved for the host driver", error, StringComparison.Ordinal);
        Assert.Contains("\"nonsense\": there is no such command; 'help' lists them", error, StringComparison.Ordinal);
        Assert.Equal((0, 0), (Run("", "replay", recording).Status, Run("", "show", recording).Status));
    }

    [Theory]
    [InlineData("write /a b c", new[] { "write", "/a", "b", "c" })]
    [InlineData("  write  '/a b' \"\" x\\n", new[] { "write", "/a b", "", "x\n" })]
    public void Words_are_split_as_a_shell_does(string line, string[] words) => Assert.Equal(words, Words.Split(line));

    [Fact]
    public void The_line_editor_has_history_and_completion()
    {
        Queue<ConsoleKeyInfo> keys = new(
            "abc".Select(c => new ConsoleKeyInfo(c, ConsoleKey.None, false, false, false))
                .Append(new ConsoleKeyInfo('\r', ConsoleKey.Enter, false, false, false))
                .Append(new ConsoleKeyInfo('\0', ConsoleKey.UpArrow, false, false, false))
                .Append(new ConsoleKeyInfo('\b', ConsoleKey.Backspace, false, false, false))
                .Append(new ConsoleKeyInfo('\t', ConsoleKey.Tab, false, false, false))
                .Append(new ConsoleKeyInfo('\r', ConsoleKey.Enter, false, false, false)));
        LineEditor editor = new(new StringWriter(), keys.Dequeue, line => line == "ab" ? ["abrakadabra"] : []);
        Assert.Equal("abc", editor.Read("> "));
        Assert.Equal("abrakadabra ", editor.Read("> "));
    }
}

using System.Text;
using Apvirt.Host.Traces;

namespace Apvirt.Host.Tests.Traces;

/// <summary>A broken trace says where and what was expected, and a difference is found.</summary>
public sealed class TraceErrorTests
{
    private const string Header = """{"trace":"apvirt-trace/1","about":"t","host":{"apxa":true,"max_adapter":255,"max_domain":255,"adapters":[4],"domains":[4],"control_domains":[4],"type":"CEX8P (hwtype 14)"},"apmask":"0x0","aqmask":"0x0"}""";

    private static TraceReplayResult Run(params string[] lines) => TraceReplay.Run("t.jsonl", Encoding.UTF8.GetBytes(string.Join('\n', lines)));

    [Theory]
    [InlineData("", 1, 1, "the trace is empty")]
    [InlineData("{\"trace\":\"other\"}", 1, 2, "expected a header with")]
    [InlineData("nonsense", 1, 2, "this is not JSON")]
    [InlineData("[]", 1, 1, "expected one JSON object")]
    public void Broken_headers(string header, int line, int column, string message)
    {
        TraceError error = Run(header).Error!;
        Assert.Equal((line, column), (error.Line, error.Column));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\"op\":\"raed\"}", 2, "operation \"raed\" is not known; expected one of")]
    [InlineData("{\"po\":\"read\"}", 1, "expected a field \"op\"")]
    [InlineData("{\"op\":\"read\"}", 1, "operation \"read\" has no field \"path\", which it needs")]
    [InlineData("{\"op\":\"read\",\"path\":5}", 14, "expected a text")]
    [InlineData("{\"op\":\"queue.state\",\"apqn\":\"4.4\",\"state\":\"normal\"}", 21, "expected a queue as \"xx.yyyy\"")]
    [InlineData("{\"op\":\"queue.state\",\"apqn\":\"04.0004\",\"state\":\"odd\"}", 38, "expected one of normal, deconfigured, checkstopped")]
    [InlineData("{\"op\":\"host.config\",\"adapters\":[256],\"domains\":[],\"control_domains\":[]}", 21, "expected a list of ids from 0 to 255")]
    [InlineData("{\"op\":\"read\",", 13, "this is not JSON")]
    public void Broken_operations(string operation, int column, string message)
    {
        TraceReplayResult result = Run(Header, """{"op":"list","what":"mdevs","value":[]}""", operation);
        Assert.Equal((3, column), (result.Error!.Line, result.Error.Column));
        Assert.Contains(message, result.Error.Message, StringComparison.Ordinal);
        Assert.Equal(1, result.OperationCount);
    }

    [Fact]
    public void A_difference_names_line_field_and_both_values()
    {
        TraceReplayResult result = Run(Header, "", """{"op":"driver","device":"04.0004","value":"cex4queue"}""", """{"op":"driver","device":"04.0004","value":"vfio_ap"}""");
        Assert.Null(result.Error);
        TraceDifference difference = Assert.Single(result.Differences);
        Assert.Equal((3, "value", "\"cex4queue\"", "\"vfio_ap\""), (difference.Line, difference.Field, difference.Recorded, difference.Answered));
        Assert.Equal("""{"op":"driver","device":"04.0004"}""", difference.Question);
    }

    [Fact]
    public void A_removal_that_was_blocked_is_complete_before_the_next_operation()
    {
        const string Mdev = "62177883-f1bb-47f0-914d-32a22e3a8804";
        const string Types = "/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough";
        TraceReplayResult result = Run(
            Header,
            $$"""{"op":"write","path":"{{Types}}/create","data":"{{Mdev}}","result":"ok"}""",
            $$"""{"op":"write","path":"/sys/devices/vfio_ap/matrix/{{Mdev}}/assign_adapter","data":"4","result":"ok"}""",
            $$"""{"op":"write","path":"/sys/devices/vfio_ap/matrix/{{Mdev}}/assign_domain","data":"4","result":"ok"}""",
            $$"""{"op":"guest.start","guest":"g","mdev":"{{Mdev}}","req_irq":false,"result":"ok"}""",
            $$"""{"op":"write","path":"/sys/devices/vfio_ap/matrix/{{Mdev}}/remove","data":"1","result":"blocked"}""",
            """{"op":"queue.fault","apqn":"04.0004","insn":"tapq","rc":[0,5,5,5],"result":"ok"}""",
            """{"op":"guest.stop","guest":"g","result":"ok"}""",
            $$"""{"op":"read","path":"{{Types}}/available_instances","value":"65536\n"}""",
            """{"op":"queue.resets","value":{"04.0004":2},"vfio_ap":{"04.0004":2},"bus":{}}""");
        Assert.Null(result.Error);
        Assert.Empty(result.Differences);
    }

    [Fact]
    public void A_missing_and_an_unexpected_answer_differ_too()
    {
        TraceReplayResult result = Run(Header, """{"op":"read","path":"/sys/bus/ap/bindings","result":"ENOENT"}""");
        Assert.Equal(["value", "result"], result.Differences.Select(d => d.Field));
    }
}

using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Apvirt.Cli.Tests.Clients;

/// <summary>What a client can make a host keep.</summary>
public sealed class ControlLimitTests : IDisposable
{
    private const int LengthMax = 1 << 20;
    private const string Problem = """
        {
          "problem": "the body is too large, expected at most 1048576 bytes"
        }
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("apvirt-limit").FullName;
    private readonly Dictionary<string, string> _environment;
    private readonly Process _up;

    public ControlLimitTests()
    {
        _environment = new(StringComparer.Ordinal) { ["APVIRT_RUNTIME_DIR"] = Path.Combine(_folder, "run") };
        _up = Clients.Up([Clients.Example("minimal.yaml"), "--name", "default"], _environment);
    }

    public void Dispose()
    {
        Assert.Equal(0, Clients.Apvirt(["down"], _environment).Status);
        Assert.True(_up.WaitForExit(Clients.Soon));
        _up.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData("operations")]
    [InlineData("commands")]
    [InlineData("guests/guest/sys")]
    [InlineData("down")]
    public void A_body_that_says_it_is_too_large_is_refused_unread(string request)
    {
        string answer = Post(request, $"Content-Length: {LengthMax + 1}", "");
        Assert.StartsWith("HTTP/1.1 413", answer, StringComparison.Ordinal);
        Assert.Contains(Problem, answer, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("operations")]
    [InlineData("commands")]
    public void A_body_that_grows_too_large_is_refused(string request)
    {
        const int Length = 0x40000;
        string chunk = $"{Length:X}\r\n{new string(' ', Length)}\r\n";
        string answer = Post(request, "Transfer-Encoding: chunked", string.Concat(Enumerable.Repeat(chunk, 5)) + "0\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 413", answer, StringComparison.Ordinal);
        Assert.Contains(Problem, answer, StringComparison.Ordinal);
    }

    [Fact]
    public void Large_bodies_are_forgotten()
    {
        const string Read = """{"op":"read","path":"/sys/bus/ap/bindings"}""";
        string padded = Read + new string(' ', LengthMax - Read.Length);
        string nonsense = new('x', LengthMax);
        // Larger than what is read, but what a web server takes if it is not told otherwise.
        string huge = new('x', 28 * LengthMax);
        for (int i = 0; i < 5; i++)
            Assert.StartsWith("HTTP/1.1 413", Post("operations", $"Content-Length: {huge.Length}", huge), StringComparison.Ordinal);
        for (int i = 0; i < 40; i++)
        {
            Assert.StartsWith("HTTP/1.1 200", Post("operations", $"Content-Length: {LengthMax}", padded), StringComparison.Ordinal);
            Assert.StartsWith("HTTP/1.1 400", Post("operations", $"Content-Length: {LengthMax}", nonsense), StringComparison.Ordinal);
            Assert.StartsWith("HTTP/1.1 400", Post("commands", $"Content-Length: {LengthMax}", nonsense), StringComparison.Ordinal);
        }
        string resident = File.ReadLines($"/proc/{_up.Id}/status").Single(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
        Assert.InRange(int.Parse(resident.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) / 1024, 0, 200);
    }

    private string Post(string request, string length, string body)
    {
        using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(Path.Combine(_folder, "run", "default.sock")));
        using NetworkStream stream = new(socket);
        stream.Write(Encoding.ASCII.GetBytes($"POST /v1/{request} HTTP/1.1\r\nHost: apvirt\r\nConnection: close\r\n{length}\r\n\r\n"));
        try
        {
            stream.Write(Encoding.ASCII.GetBytes(body));
        }
        catch (IOException)
        {
            // The host has heard enough; its answer can still be read.
        }
        StringBuilder answer = new();
        byte[] buffer = new byte[4096];
        try
        {
            for (int read; (read = stream.Read(buffer)) > 0;)
                answer.Append(Encoding.UTF8.GetString(buffer, 0, read));
        }
        catch (IOException)
        {
            // It closes without having read all: what it said came before.
        }
        return answer.ToString();
    }
}

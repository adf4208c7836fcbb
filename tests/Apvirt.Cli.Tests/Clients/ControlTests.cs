using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Apvirt.Cli.Tests.Clients;

/// <summary>A host that is up, and commands that ask it from elsewhere.</summary>
public sealed class ControlTests : IDisposable
{
    private static readonly TimeSpan Soon = Clients.Soon;

    private readonly string _folder = Directory.CreateTempSubdirectory("apvirt-up").FullName;
    private readonly Dictionary<string, string> _environment;
    private readonly string _mount;

    public ControlTests()
    {
        _environment = new(StringComparer.Ordinal) { ["APVIRT_RUNTIME_DIR"] = Path.Combine(_folder, "run") };
        _mount = Directory.CreateDirectory(Path.Combine(_folder, "sys")).FullName;
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private (int Status, string Out, string Error) Ask(params string[] arguments) => Clients.Apvirt(arguments, _environment);

    private Process Up(params string[] options) => Clients.Up([Clients.Example("three-guests.yaml"), .. options], _environment);

    private static bool IsMounted(string directory) => File.ReadLines("/proc/self/mounts").Any(line => line.Split(' ')[1] == directory);

    [Fact]
    public void Guests_start_and_stop_from_elsewhere()
    {
        using Process up = Up("--name", "default");
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(_folder, "run", "default.sock")));
        Assert.StartsWith("GUEST  VCPUS  MEMORY    QUEUES  DEVICES\ng1     1      4096 MiB  4       11111111", Ask("guest", "list").Out, StringComparison.Ordinal);
        Assert.Equal((0, "", ""), Ask("guest", "stop", "g2"));
        (int status, _, string error) = Ask("guest", "start", "g9", "--mdev", "G1");
        Assert.Equal((1, "EBUSY: Device or resource busy\n"), (status, error));
        Assert.Equal((0, "", ""), Ask("guest", "start", "g2", "--mdev", "G2"));
        JsonElement guests = JsonSerializer.Deserialize<JsonElement>(Ask("guest", "list", "--json").Out);
        Assert.Equal(["g1", "g2", "g3"], guests.EnumerateArray().Select(g => g.GetProperty("name").GetString()));
        Assert.StartsWith("apvirt: a host named default is up already", Ask("up", Clients.Example("minimal.yaml"), "--name", "default").Error, StringComparison.Ordinal);
        Assert.Equal(0, Ask("down").Status);
        Assert.True(up.WaitForExit(Soon));
        Assert.Equal(0, up.ExitCode);
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(_folder, "run")));
        Assert.Equal(2, Ask("guest", "list").Status);
    }

    [Fact]
    public void Hardware_changes_are_seen_as_events()
    {
        using Process up = Up("--name", "default");
        using Process events = Clients.Begin(["events", "--json"], _environment);
        StringBuilder seen = new();
        events.OutputDataReceived += (_, line) =>
        {
            lock (seen)
                seen.Append(line.Data).Append('\n');
        };
        events.BeginOutputReadLine();
        bool Saw(string text)
        {
            lock (seen)
                return seen.ToString().Contains(text, StringComparison.Ordinal);
        }

        Assert.True(SpinWait.SpinUntil(() => Saw("\"listening\""), Soon));
        Assert.Equal((0, "", ""), Ask("hw", "add", "7", "CEX8P"));
        Assert.True(SpinWait.SpinUntil(() => Saw("""{"kind":"uevent","name":"/sys/devices/ap/card07","change":"add","variables":{"DEVTYPE":"ap_card","DEV_TYPE":"000E","MODALIAS":"ap:t0E","MODE":"ep11","SUBSYSTEM":"ap"}}"""), Soon), seen.ToString());
        Assert.True(SpinWait.SpinUntil(() => Saw("\"kind\":\"queue\",\"name\":\"07.0004\",\"change\":\"absent -> "), Soon), seen.ToString());
        Assert.Equal((0, "", ""), Ask("hw", "remove", "7"));
        Assert.True(SpinWait.SpinUntil(() => Saw("\"name\":\"/sys/devices/ap/card07\",\"change\":\"remove\""), Soon), seen.ToString());
        (int status, _, string error) = Ask("hw", "checkstop", "99");
        Assert.Equal((1, "there is no adapter 0x63 in this machine\n"), (status, error));
        Assert.Equal(0, Ask("down").Status);
        Assert.True(events.WaitForExit(Soon));
        Assert.True(up.WaitForExit(Soon));
    }

    [Fact]
    public void The_api_answers_as_documented()
    {
        using Process up = Up("--name", "default");
        using HttpClient http = new(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancellation) =>
            {
                Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(Path.Combine(_folder, "run", "default.sock")), cancellation);
                return new NetworkStream(socket, ownsSocket: true);
            },
        });
        string Post(string path, string body)
        {
            using HttpRequestMessage request = new(HttpMethod.Post, "http://apvirt/" + path) { Content = new StringContent(body) };
            using HttpResponseMessage response = http.Send(request);
            using StreamReader reader = new(response.Content.ReadAsStream());
            return $"{(int)response.StatusCode} {reader.ReadToEnd().Trim()}";
        }

        Assert.Equal(
            """200 {"op":"read","path":"/sys/bus/ap/bindings","value":"8/8 (complete)\n"}""",
            Post("v1/operations", """{"op":"read","path":"/sys/bus/ap/bindings"}"""));
        Assert.Equal(
            """200 {"op":"write","path":"/sys/bus/ap/apmask","data":"+5","result":"EBUSY"}""",
            Post("v1/operations", """{"op":"write","path":"/sys/bus/ap/apmask","data":"+5"}"""));
        foreach (string body in (string[])["nonsense", "", " \n"])
            Assert.StartsWith("400 {", Post("v1/operations", body), StringComparison.Ordinal);
        Assert.StartsWith("400 {", Post("v1/commands", "nonsense"), StringComparison.Ordinal);
        Assert.StartsWith("409 {", Post("v1/guests/nosuch/sys", ""), StringComparison.Ordinal);
        Assert.Equal(0, Ask("down").Status);
        Assert.True(up.WaitForExit(Soon));
    }

    [Theory]
    [InlineData("TERM")]
    [InlineData("INT")]
    [InlineData("KILL")]
    public void The_mount_goes_with_the_host_however_it_ends(string signal)
    {
        Clients.SkipUnlessMountable();
        using Process up = Up("--mount", _mount);
        Assert.Equal("8/8 (complete)\n", File.ReadAllText(Path.Combine(_mount, "bus/ap/bindings")));
        using (Process kill = Process.Start("/bin/kill", [$"-{signal}", up.Id.ToString()]))
            kill.WaitForExit();
        Assert.True(up.WaitForExit(Soon));
        Assert.True(SpinWait.SpinUntil(() => !IsMounted(_mount), Soon));
        // The next one comes up in the same place.
        using Process next = Up("--mount", _mount);
        Assert.Equal("8/8 (complete)\n", File.ReadAllText(Path.Combine(_mount, "bus/ap/bindings")));
        Assert.Equal(0, Ask("down").Status);
        Assert.True(next.WaitForExit(Soon));
        Assert.True(SpinWait.SpinUntil(() => !IsMounted(_mount), Soon));
    }

    [Fact]
    public void A_mount_that_nobody_could_take_away_is_cleared_by_the_next()
    {
        Clients.SkipUnlessMountable();
        using Process up = Up("--mount", _mount);
        // The watcher first, then the host: nobody is left to unmount.
        using (Process kill = Process.Start("/bin/sh", ["-c", $"pkill -KILL -f 'apvirt-watch {_mount}$'; kill -KILL {up.Id}"]))
            kill.WaitForExit();
        Assert.True(up.WaitForExit(Soon));
        Assert.True(IsMounted(_mount));
        Assert.Throws<IOException>(() => File.ReadAllText(Path.Combine(_mount, "bus/ap/bindings")));
        using Process next = Up("--mount", _mount);
        Assert.Equal("8/8 (complete)\n", File.ReadAllText(Path.Combine(_mount, "bus/ap/bindings")));
        Assert.Single(File.ReadLines("/proc/self/mounts"), line => line.Split(' ')[1] == _mount);
        Assert.Equal(0, Ask("down").Status);
        Assert.True(next.WaitForExit(Soon));
    }

    [Fact]
    public void Without_root_mounting_is_refused_with_what_to_do_and_memory_works()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess && File.Exists("/usr/bin/setpriv"), "needs root and setpriv, to do without");
        string apvirt = Path.Combine(AppContext.BaseDirectory, "apvirt.dll");
        (int Status, string Error) AsNobody(string arguments)
        {
            ProcessStartInfo start = new("/usr/bin/setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", $"dotnet {apvirt} {arguments}"])
            {
                RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false,
            };
            start.Environment["HOME"] = "/tmp";
            using Process process = Process.Start(start)!;
            process.StandardInput.Close();
            process.OutputDataReceived += (_, _) => { };
            process.BeginOutputReadLine();
            string messages = process.StandardError.ReadToEnd();
            process.WaitForExit();
            return (process.ExitCode, messages);
        }

        (int status, string error) = AsNobody("shell -- true");
        Assert.SkipWhen(error.Contains("does not exist", StringComparison.Ordinal) || status == 155, "this checkout cannot be read by others");
        Assert.Equal((2, "apvirt: mounting needs root; run it with sudo. Everything in memory works without: 'apvirt up HOST.yaml'\n"), (status, error));
        Assert.Equal((0, ""), AsNobody($"up {Clients.Example("three-guests.yaml")}"));
    }

    [Fact]
    public void A_guest_sees_its_own_bus_and_hot_plug_from_inside()
    {
        Clients.SkipUnlessMountable();
        using Process up = Up("--name", "default");
        (int status, string output, string error) = Ask("guest", "exec", "g1", "--", "ls", "/sys/bus/ap/devices");
        Assert.Equal((0, "05.0004\n05.00ab\n06.0004\n06.00ab\ncard05\ncard06\n", ""), (status, output, error));
        Assert.Equal((3, "4/4 (complete)\n", ""), Ask("guest", "exec", "g1", "--", "sh", "-c", "cat /sys/bus/ap/bindings; test -e /sys/bus/mdev && exit 4; exit 3"));
        Assert.Equal((0, "", ""), Ask("hw", "config", "6", "4,0x47,0xab,0xff"));
        Assert.Equal(
            (0, "06.0004\n06.00ab\ncard06\n", ""),
            Ask("guest", "exec", "g1", "--", "sh", "-c", "echo 1 > /sys/bus/ap/scans; ls /sys/bus/ap/devices"));
        string lszcrypt = Clients.S390x("lszcrypt");
        (_, output, _) = Ask(["guest", "exec", "g1", "--", .. lszcrypt.Split(' '), "-V"]);
        Assert.Contains("06.0004     CEX8A Accelerator online          0        0     14     09 -MC-A-NF-  cex4queue", output, StringComparison.Ordinal);
        Assert.DoesNotContain("05.", output, StringComparison.Ordinal);
        (status, _, error) = Ask("guest", "exec", "nosuch", "--", "true");
        Assert.Equal((2, "apvirt: there is no guest \"nosuch\"; 'apvirt guest list' shows them\n"), (status, error));
        Assert.Equal((0, "", ""), Ask("guest", "stop", "g1"));
        Assert.DoesNotContain("apvirt-g1", File.ReadAllText("/proc/self/mounts"), StringComparison.Ordinal);
        Assert.Equal(0, Ask("down").Status);
        Assert.True(up.WaitForExit(Soon));
    }

    [Fact]
    public void The_host_that_is_up_is_shown_and_explained()
    {
        using Process up = Up("--name", "default");
        Assert.Equal("05    A*   B*   A*   B*", Ask("show").Out.Split('\n')[1]);
        Assert.Equal("g2", JsonSerializer.Deserialize<JsonElement>(Ask("show", "--json").Out).GetProperty("guests")[1].GetProperty("name").GetString());
        Assert.Contains("alias: G1", Ask("show", "--yaml").Out, StringComparison.Ordinal);
        Assert.EndsWith("  guest       guest g1 has it\n", Ask("explain", "05.0004").Out, StringComparison.Ordinal);
        JsonElement json = JsonSerializer.Deserialize<JsonElement>(Ask("explain", "G1", "--json").Out);
        Assert.Equal("adapters 05 06 x domains 0004 00ab", json.GetProperty("lines")[0].GetProperty("text").GetString());
        (int status, _, string error) = Ask("explain", "nosuch");
        Assert.Equal((2, "apvirt: \"nosuch\" is no queue such as 05.0004, no mediated device that exists, and no guest that is known here\n"), (status, error));
        Assert.Equal(0, Ask("down").Status);
        Assert.True(up.WaitForExit(Soon));
    }

    [Fact]
    public void Any_sysfs_is_shown_and_explained()
    {
        Clients.SkipUnlessMountable();
        using Process up = Up("--mount", _mount);
        Assert.Equal("05    A*   B*   A*   B*", Ask("show", "--sysfs", _mount).Out.Split('\n')[1]);
        File.WriteAllText(Path.Combine(_mount, "bus/ap/drivers/vfio_ap/unbind"), "05.00ab");
        (_, string output, _) = Ask("explain", "--sysfs", _mount, "05.0004");
        Assert.EndsWith(
            "! guest       adapter 05 is withheld whole because queue 05.00ab has no driver\n                $ echo 05.00ab > /sys/bus/ap/drivers/vfio_ap/bind\n",
            output, StringComparison.Ordinal);
        // A copy, as dbginfo.sh makes one.
        string copy = Path.Combine(_folder, "copy");
        using (Process cp = Process.Start("/bin/sh", ["-c", $"cp -r {_mount} {copy} 2>/dev/null"]))
            cp.WaitForExit();
        Assert.Equal(output, Ask("explain", "--sysfs", copy, "05.0004").Out);
        (int status, _, string error) = Ask("show", "--sysfs", _folder);
        Assert.Equal((2, $"{_folder}: there is no AP bus in it; expected a sysfs such as /sys of an IBM Z, a mount or a copy of one\n"), (status, error));
        Assert.Equal(0, Ask("down").Status);
        Assert.True(up.WaitForExit(Soon));
    }
}

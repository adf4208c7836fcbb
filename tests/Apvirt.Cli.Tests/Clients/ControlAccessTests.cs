using System.Diagnostics;

namespace Apvirt.Cli.Tests.Clients;

/// <summary>Who gets in: which directories are trusted with a control socket, and whom host and client talk to.</summary>
public sealed class ControlAccessTests : IDisposable
{
    private const string Nobody = "65534";

    /// <summary>Takes the place of a host under another user: says that it listens, then what a client sends first.</summary>
    private const string FalseHost = """
        use Socket; $| = 1;
        socket(S, AF_UNIX, SOCK_STREAM, 0) or die $!;
        bind(S, sockaddr_un($ARGV[0])) or die $!;
        chmod 0666, $ARGV[0];
        ($<, $>) = ($ARGV[1], $ARGV[1]);
        listen(S, 5) or die $!;
        print "listening\n";
        accept(C, S) or die $!;
        sysread(C, my $asked, 65536);
        print "asked: $asked";
        """;

    /// <summary>A client under another user: prints the answer to a request.</summary>
    private const string FalseClient = """
        use Socket; $| = 1;
        chdir $ARGV[0] or die $!;
        ($<, $>) = ($ARGV[1], $ARGV[1]);
        socket(S, AF_UNIX, SOCK_STREAM, 0) or die $!;
        connect(S, sockaddr_un("default.sock")) or die $!;
        syswrite S, "GET /v1/host HTTP/1.1\r\nHost: apvirt\r\nConnection: close\r\n\r\n";
        while (sysread(S, my $answer, 65536)) { print $answer; }
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("apvirt-access").FullName;

    public ControlAccessTests() => Assert.SkipUnless(Environment.IsPrivilegedProcess, "needs root, to be several users");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("mkdir -m 700 run; chown 65534 run", "run", "run", "a directory of uid 65534 with mode 0700")]
    [InlineData("mkdir -m 777 run run/default.guests", "run", "run", "a directory of uid 0 with mode 0777")]
    [InlineData("mkdir -m 1777 run", "run", "run", "a directory of uid 0 with mode 1777")]
    [InlineData("mkdir -m 710 run", "run", "run", "a directory of uid 0 with mode 0710")]
    [InlineData("mkdir -m 700 real; ln -s real run", "run", "run", "a symbolic link of uid 0")]
    [InlineData("ln -s nosuch run", "run", "run", "a symbolic link of uid 0")]
    [InlineData("touch run", "run", "run", "no directory")]
    public void A_directory_that_others_may_have_made_is_refused(string setUp, string directory, string culprit, string found) =>
        IsRefused(setUp, directory, $"apvirt: {_folder}/{culprit}: found {found}, expected a directory of uid 0 with mode 0700; APVIRT_RUNTIME_DIR names another directory for control sockets\n");

    [Theory]
    [InlineData("mkdir -m 777 open; mkdir -m 700 open/run", "open/run", "open", "a directory of uid 0 with mode 0777")]
    [InlineData("mkdir -m 775 open; mkdir -m 700 open/run", "open/run", "open", "a directory of uid 0 with mode 0775")]
    [InlineData("mkdir -m 777 open", "open/run", "open", "a directory of uid 0 with mode 0777")]
    [InlineData("mkdir -m 755 theirs; mkdir -m 700 theirs/run; chown 65534 theirs", "theirs/run", "theirs", "a directory of uid 65534 with mode 0755")]
    [InlineData("mkdir -m 1777 theirs; mkdir -m 700 theirs/run; chown 65534 theirs", "theirs/run", "theirs", "a directory of uid 65534 with mode 1777")]
    [InlineData("mkdir -m 700 mine mine/run; mkdir -m 1777 all; ln -s ../mine all/link; chown -h 65534 all/link", "all/link/run", "all/link", "a symbolic link of uid 65534")]
    [InlineData("mkdir -m 777 open; mkdir -m 755 open/deep; mkdir -m 700 open/deep/run; ln -s open/deep link", "link/run", "open", "a directory of uid 0 with mode 0777")]
    public void A_directory_that_others_could_exchange_is_refused(string setUp, string directory, string culprit, string found) =>
        IsRefused(
            setUp, directory,
            $"apvirt: {_folder}/{culprit}: found {found}, expected above the runtime directory {_folder}/{directory} only what belongs to uid 0, with directories that others cannot write to unless they are sticky; "
            + "APVIRT_RUNTIME_DIR names another directory for control sockets\n");

    [Theory]
    [InlineData("mkdir -m 1777 all", "all/run")]
    [InlineData("mkdir -m 700 run", "run")]
    [InlineData("mkdir -m 2700 run", "run")]
    [InlineData("mkdir -m 1777 all; ln -s ../all all/link", "all/link/run")]
    [InlineData("mkdir -m 755 a", "a/../b/run")]
    public void A_directory_that_nobody_else_can_change_will_do(string setUp, string directory)
    {
        Do(setUp);
        using Process up = Clients.Up([Clients.Example("minimal.yaml"), "--name", "default"], At(directory));
        Assert.Equal(0, Clients.Apvirt(["down"], At(directory)).Status);
        Assert.True(up.WaitForExit(Clients.Soon));
    }

    [Theory]
    [InlineData("0777", Nobody, "run: found a directory of uid 0 with mode 0777, expected")]
    [InlineData("0700", Nobody, "run/default.sock: uid 65534 listens there, expected uid 0")]
    public void A_client_says_nothing_to_another_users_host(string mode, string user, string message)
    {
        Do($"mkdir -m {mode} run");
        using Process host = Perl(FalseHost, Path.Combine(_folder, "run", "default.sock"), user);
        Assert.Equal("listening", host.StandardOutput.ReadLine());
        (int status, string output, string error) = Clients.Apvirt(["guest", "list"], At("run"));
        Assert.Equal((2, ""), (status, output));
        Assert.StartsWith($"apvirt: {_folder}/{message}", error, StringComparison.Ordinal);
        Assert.Equal(1, error.Count(c => c == '\n'));
        if (!host.WaitForExit(TimeSpan.FromSeconds(1)))
            host.Kill();
        Assert.Contains(host.StandardOutput.ReadToEnd(), (string[])["", "asked: "]);
    }

    [Fact]
    public void A_host_answers_only_its_user_and_root()
    {
        using Process up = Clients.Up([Clients.Example("minimal.yaml"), "--name", "default"], At("run"));
        // Should the modes not keep others out, the socket does.
        Do("chmod 711 . run; chmod 666 run/default.sock");
        Assert.StartsWith("HTTP/1.1 200", AnswerTo("0"), StringComparison.Ordinal);
        string answer = AnswerTo(Nobody);
        Assert.StartsWith("HTTP/1.1 403", answer, StringComparison.Ordinal);
        Assert.Contains("\"problem\": \"uid 65534 asks, expected uid 0\"", answer, StringComparison.Ordinal);
        Do("chmod 700 run");
        Assert.Equal(0, Clients.Apvirt(["down"], At("run")).Status);
        Assert.True(up.WaitForExit(Clients.Soon));
    }

    private void IsRefused(string setUp, string directory, string error)
    {
        Do(setUp);
        string before = Tree();
        Assert.Equal((2, "", error), Clients.Apvirt(["up", Clients.Example("minimal.yaml"), "--name", "default"], At(directory)));
        Assert.Equal((2, "", error), Clients.Apvirt(["guest", "list"], At(directory)));
        Assert.Equal(before, Tree());
    }

    private string Tree() => string.Join('\n', Directory.EnumerateFileSystemEntries(_folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal));

    private Dictionary<string, string> At(string directory) => new(StringComparer.Ordinal) { ["APVIRT_RUNTIME_DIR"] = $"{_folder}/{directory}" };

    private void Do(string script)
    {
        using Process process = Process.Start(new ProcessStartInfo("/bin/sh", ["-ec", script]) { WorkingDirectory = _folder })!;
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }

    private string AnswerTo(string user)
    {
        using Process client = Perl(FalseClient, Path.Combine(_folder, "run"), user);
        return client.StandardOutput.ReadToEnd();
    }

    private static Process Perl(string script, params string[] arguments) =>
        Process.Start(new ProcessStartInfo("/usr/bin/perl", ["-e", script, .. arguments]) { RedirectStandardOutput = true, UseShellExecute = false })!;
}

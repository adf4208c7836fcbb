using System.Diagnostics;

namespace Apvirt.Cli.Tests.Clients;

/// <summary>A host that is up listens on its socket and nowhere else, whatever the files and variables around it say.</summary>
public sealed class ControlConfigurationTests : IDisposable
{
    private const string Anywhere = "http://127.0.0.1:0";
    private const string Endpoint = $$"""{ "Kestrel": { "Endpoints": { "Http": { "Url": "{{Anywhere}}" } } }, "Urls": "{{Anywhere}}" }""";

    private readonly string _folder = Directory.CreateTempSubdirectory("apvirt-configured").FullName;
    private readonly Dictionary<string, string> _environment;

    public ControlConfigurationTests() =>
        _environment = new(StringComparer.Ordinal) { ["APVIRT_RUNTIME_DIR"] = Path.Combine(_folder, "run") };

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("appsettings.json")]
    [InlineData("appsettings.Production.json")]
    [InlineData("appsettings.Development.json", "ASPNETCORE_ENVIRONMENT=Development", "DOTNET_ENVIRONMENT=Development")]
    [InlineData("elsewhere/appsettings.json", "ASPNETCORE_CONTENTROOT=elsewhere", "DOTNET_CONTENTROOT=elsewhere", "CONTENTROOT=elsewhere")]
    [InlineData("apvirt.settings.json")]
    public void A_file_opens_nothing(string file, params string[] variables)
    {
        string path = Path.Combine(_folder, file);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, Endpoint);
        ListensOnItsSocketOnly(variables.Select(v => v.Replace("elsewhere", Path.Combine(_folder, "elsewhere"), StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("Kestrel__Endpoints__Http__Url=" + Anywhere)]
    [InlineData("ASPNETCORE_Kestrel__Endpoints__Http__Url=" + Anywhere)]
    [InlineData("DOTNET_Kestrel__Endpoints__Http__Url=" + Anywhere)]
    [InlineData("ASPNETCORE_URLS=" + Anywhere, "DOTNET_URLS=" + Anywhere, "URLS=" + Anywhere, "ASPNETCORE_PREFERHOSTINGURLS=true", "PREFERHOSTINGURLS=true")]
    [InlineData("ASPNETCORE_HTTP_PORTS=0", "DOTNET_HTTP_PORTS=0", "HTTP_PORTS=0", "ASPNETCORE_PREFERHOSTINGURLS=true")]
    public void A_variable_opens_nothing(params string[] variables) => ListensOnItsSocketOnly(variables);

    [Theory]
    [InlineData("--urls=" + Anywhere)]
    [InlineData("--Kestrel:Endpoints:Http:Url=" + Anywhere)]
    public void An_argument_of_web_servers_is_none_of_ours(string argument) =>
        Assert.Equal(2, Clients.Apvirt(["up", Clients.Example("minimal.yaml"), "--name", "default", argument], _environment).Status);

    [Fact]
    public void A_large_working_directory_is_not_watched()
    {
        for (int outer = 0; outer < 40; outer++)
        {
            for (int inner = 0; inner < 50; inner++)
                Directory.CreateDirectory(Path.Combine(_folder, "tree", $"{outer}", $"{inner}"));
        }
        using Process up = Clients.Up([Clients.Example("minimal.yaml"), "--name", "default"], _environment, Path.Combine(_folder, "tree"));
        string[] watches =
        [
            .. from file in Directory.EnumerateFiles($"/proc/{up.Id}/fdinfo")
               from line in Lines(file)
               where line.StartsWith("inotify", StringComparison.Ordinal)
               select line,
        ];
        End(up);
        Assert.Empty(watches);
    }

    [Fact]
    public void A_client_takes_no_way_around_the_socket()
    {
        using Process up = Clients.Up([Clients.Example("minimal.yaml"), "--name", "default"], _environment);
        // Nobody is there: whoever asked a proxy would fail.
        foreach (string variable in (string[])["ALL_PROXY", "http_proxy"])
            Assert.Equal(0, Clients.Apvirt(["guest", "list"], new Dictionary<string, string>(_environment, StringComparer.Ordinal) { [variable] = "socks5://127.0.0.1:9" }).Status);
        End(up);
    }

    private void ListensOnItsSocketOnly(IEnumerable<string> variables)
    {
        Dictionary<string, string> environment = new(_environment, StringComparer.Ordinal);
        foreach (string[] pair in variables.Select(v => v.Split('=', 2)))
            environment[pair[0]] = pair[1];
        using Process up = Clients.Up([Clients.Example("minimal.yaml"), "--name", "default"], environment, _folder);
        string[] listeners = [.. TcpListenersOf(up.Id)];
        End(up);
        Assert.Empty(listeners);
    }

    private void End(Process up)
    {
        Assert.Equal(0, Clients.Apvirt(["down"], _environment).Status);
        Assert.True(up.WaitForExit(Clients.Soon));
    }

    // The lines of /proc/net/tcp that are in the state of listening (0A) and whose socket the process holds.
    private static IEnumerable<string> TcpListenersOf(int process)
    {
        HashSet<string> own = [.. Directory.EnumerateFiles($"/proc/{process}/fd").Select(file => new FileInfo(file).LinkTarget ?? "")];
        return from table in (string[])["tcp", "tcp6"]
               from line in Lines($"/proc/{process}/net/{table}")
               let columns = line.Split(' ', StringSplitOptions.RemoveEmptyEntries)
               where columns[3] == "0A" && own.Contains($"socket:[{columns[9]}]")
               select line;
    }

    // A file descriptor may be closed, and its file in /proc gone, meanwhile; a machine may have no IPv6.
    private static string[] Lines(string file)
    {
        try
        {
            return File.ReadAllLines(file);
        }
        catch (IOException)
        {
            return [];
        }
    }
}

using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using Apvirt.Host.Views;

namespace Apvirt.Control;

/// <summary>Asks a running host over its control socket.</summary>
public sealed class ControlClient : IDisposable
{
    private readonly HttpClient _http;

    /// <summary>Makes a client; nothing is sent yet.</summary>
    /// <param name="name">Name of the host.</param>
    public ControlClient(string name)
    {
        string path = ControlSocket.PathOf(name);
        SocketsHttpHandler handler = new()
        {
            // The variables that name a proxy are about the network.
            UseProxy = false,
            ConnectCallback = async (_, cancellation) =>
            {
                Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellation);
                    uint user = Users.PeerOf(socket);
                    if (!Users.IsTrusted(user))
                        throw new ControlException($"{path}: uid {user} listens there, expected {Users.Expected}");
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
                return new NetworkStream(socket, ownsSocket: true);
            },
        };
        _http = new HttpClient(handler) { BaseAddress = new Uri("http://apvirt/"), Timeout = Timeout.InfiniteTimeSpan };
    }

    /// <summary>A picture of the host.</summary>
    public HostView View() => Ask<HostView>(HttpMethod.Get, "v1/host", body: null);

    /// <summary>Carries out a command of the prompt.</summary>
    /// <param name="words">Its words.</param>
    public CommandAnswer Execute(IReadOnlyList<string> words) =>
        Ask<CommandAnswer>(HttpMethod.Post, "v1/commands", JsonSerializer.Serialize(words, ControlJson.Lines));

    /// <summary>Mounts what a guest's own AP bus sees.</summary>
    /// <param name="guest">Name of the guest.</param>
    public GuestTree MountGuest(string guest) => Ask<GuestTree>(HttpMethod.Post, $"v1/guests/{Uri.EscapeDataString(guest)}/sys", "");

    /// <summary>Ends the host.</summary>
    public void Down() => Ask<JsonElement>(HttpMethod.Post, "v1/down", "");

    /// <summary>What happens from now on, a line of JSON each, until the host ends.</summary>
    /// <param name="cancellation">Ends it.</param>
    public async IAsyncEnumerable<string> Events([EnumeratorCancellation] CancellationToken cancellation = default)
    {
        using HttpResponseMessage response = await _http.GetAsync("v1/events", HttpCompletionOption.ResponseHeadersRead, cancellation);
        using StreamReader reader = new(await response.Content.ReadAsStreamAsync(cancellation));
        while (true)
        {
            string? line;
            try
            {
                line = await reader.ReadLineAsync(cancellation);
            }
            catch (IOException)
            {
                yield break;
            }
            if (line is null)
                yield break;
            yield return line;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private T Ask<T>(HttpMethod method, string path, string? body)
    {
        using HttpRequestMessage request = new(method, path);
        if (body is not null)
            request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        using HttpResponseMessage response = _http.Send(request);
        using Stream answer = response.Content.ReadAsStream();
        if (response.StatusCode is HttpStatusCode.Forbidden or HttpStatusCode.RequestEntityTooLarge)
            throw new ControlException(JsonSerializer.Deserialize<Refusal>(answer, ControlJson.Options)!.Problem);
        return JsonSerializer.Deserialize<T>(answer, ControlJson.Options)!;
    }
}

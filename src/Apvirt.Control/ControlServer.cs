using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace Apvirt.Control;

/// <summary>The control socket of a host: a small JSON API over HTTP, documented in docs/control-api.md.</summary>
public sealed class ControlServer : IAsyncDisposable
{
    // Far more than an operation or a command needs, and little enough to be forgotten at once.
    private const int BodyLengthMax = 1 << 20;

    private readonly WebApplication _application;
    private readonly string _path;

    private ControlServer(WebApplication application, string path)
    {
        _application = application;
        _path = path;
    }

    /// <summary>Begins to listen.</summary>
    /// <param name="host">Whom to ask.</param>
    /// <param name="name">Name of the host; see <see cref="ControlSocket.Prepare"/>.</param>
    public static async Task<ControlServer> StartAsync(IControlledHost host, string name)
    {
        // It appears under its name when only its user can open it.
        string path = ControlSocket.PathOf(name);
        string hidden = path + ".new";
        File.Delete(hidden);
        // The other builders read appsettings.json of the working directory, which they watch with all that is below, and
        // variables: either could open the API to the network.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        builder.Services.AddRoutingCore();
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.Limits.MaxRequestBodySize = BodyLengthMax;
            kestrel.ListenUnixSocket(hidden);
        });
        WebApplication application = builder.Build();
        application.Use(OnlyTrustedAsync);
        application.Use(OnlySmallAsync);
        Map(application, host);
        await application.StartAsync();
        File.SetUnixFileMode(hidden, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        File.Move(hidden, path);
        return new ControlServer(application, path);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        using CancellationTokenSource soon = new(TimeSpan.FromSeconds(1));
        try
        {
            await _application.StopAsync(soon.Token);
        }
        catch (OperationCanceledException)
        {
            // A client that still listens to events is cut off.
        }
        await _application.DisposeAsync();
        File.Delete(_path);
    }

    // The modes of socket and directory keep others out. This holds also where a mode is changed, or the socket is handed on.
    private static async Task OnlyTrustedAsync(HttpContext context, RequestDelegate next)
    {
        uint? user = context.Features.Get<IConnectionSocketFeature>() is { } connection ? Users.PeerOf(connection.Socket) : null;
        if (user is { } known && Users.IsTrusted(known))
            await next(context);
        else
            await RefuseAsync(context, StatusCodes.Status403Forbidden, $"uid {user?.ToString(CultureInfo.InvariantCulture) ?? "unknown"} asks, expected {Users.Expected}");
    }

    // Kestrel counts what a handler reads. A length that is announced is refused before, also where nobody would read.
    private static async Task OnlySmallAsync(HttpContext context, RequestDelegate next)
    {
        bool isSmall = context.Request.ContentLength is null or <= BodyLengthMax;
        try
        {
            if (isSmall)
                await next(context);
        }
        catch (BadHttpRequestException problem) when (problem.StatusCode == StatusCodes.Status413PayloadTooLarge)
        {
            isSmall = false;
        }
        if (!isSmall)
            await RefuseAsync(context, StatusCodes.Status413PayloadTooLarge, $"the body is too large, expected at most {BodyLengthMax} bytes");
    }

    private static Task RefuseAsync(HttpContext context, int status, string problem) =>
        Results.Json(new Refusal(problem), ControlJson.Options, statusCode: status).ExecuteAsync(context);

    private static void Map(WebApplication application, IControlledHost host)
    {
        application.MapGet("/v1/host", () => Results.Json(host.View(), ControlJson.Options));
        application.MapPost("/v1/commands", async (HttpRequest request) =>
        {
            string[]? words = await ReadAsync<string[]>(request);
            return words is null
                ? Results.Json(new { problem = "expected an array of words, such as [\"guest\", \"list\"]" }, ControlJson.Options, statusCode: StatusCodes.Status400BadRequest)
                : Results.Json(host.Execute(words), ControlJson.Options);
        });
        application.MapPost("/v1/operations", async (HttpRequest request) =>
        {
            using StreamReader reader = new(request.Body);
            (string? line, string? problem) = host.Operate(await reader.ReadToEndAsync());
            return line is null
                ? Results.Json(new { problem }, ControlJson.Options, statusCode: StatusCodes.Status400BadRequest)
                : Results.Text(line + "\n", "application/json");
        });
        application.MapPost("/v1/guests/{name}/sys", (string name) =>
        {
            GuestTree tree = host.MountGuest(name);
            return Results.Json(tree, ControlJson.Options, statusCode: tree.Directory is null ? StatusCodes.Status409Conflict : StatusCodes.Status200OK);
        });
        application.MapGet("/v1/events", async (HttpContext context) =>
        {
            context.Response.ContentType = "application/x-ndjson";
            await context.Response.Body.FlushAsync();
            try
            {
                await foreach (HostEvent happened in host.Events(context.RequestAborted))
                {
                    await context.Response.WriteAsync(JsonSerializer.Serialize(happened, ControlJson.Lines) + "\n", context.RequestAborted);
                    await context.Response.Body.FlushAsync(context.RequestAborted);
                }
            }
            catch (OperationCanceledException)
            {
                // The client has seen enough.
            }
        });
        application.MapPost("/v1/down", (HttpContext context) =>
        {
            context.Response.OnCompleted(() =>
            {
                host.Down();
                return Task.CompletedTask;
            });
            return Results.Json(new { down = true }, ControlJson.Options);
        });
    }

    private static async Task<T?> ReadAsync<T>(HttpRequest request)
    {
        try
        {
            return await JsonSerializer.DeserializeAsync<T>(request.Body, ControlJson.Options);
        }
        catch (JsonException)
        {
            return default;
        }
    }

}

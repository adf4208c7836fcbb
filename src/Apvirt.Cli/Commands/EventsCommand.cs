using System.CommandLine;
using System.Text.Json;
using Apvirt.Cli.Serving;
using Apvirt.Control;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt events</c>: what happens on a host that is up.</summary>
internal static class EventsCommand
{
    internal static Command Create(CommandIo io)
    {
        Option<bool> json = new("--json") { Description = "A JSON object on a line for each." };
        Option<int> count = new("--count") { Description = "End after so many; 0 for never." };
        Option<string?> name = RemoteHost.Name();
        Command command = new("events", "Show uevents and changes of queues, mediated devices and guests as they happen, until interrupted.") { json, count, name };
        command.SetAction((parsed, cancellation) => Task.FromResult(RemoteHost.Ask(
            parsed.GetValue(name), io, client => FollowAsync(client, parsed.GetValue(json), parsed.GetValue(count), io, cancellation).GetAwaiter().GetResult())));
        return command;
    }

    private static async Task<int> FollowAsync(ControlClient client, bool json, int count, CommandIo io, CancellationToken cancellation)
    {
        try
        {
            await foreach (string line in client.Events(cancellation))
            {
                io.Out.WriteLine(json ? line : Format(line));
                io.Out.Flush();
                if (--count == 0)
                    break;
            }
        }
        catch (OperationCanceledException)
        {
            // Ctrl-C: that is how one stops looking.
        }
        return ExitCodes.Ok;
    }

    private static string Format(string line)
    {
        HostEvent happened = JsonSerializer.Deserialize<HostEvent>(line, ControlJson.Lines)!;
        string variables = string.Concat(happened.Variables.Select(v => $" {v.Key}={v.Value}"));
        return $"{happened.Kind,-7} {happened.Name}  {happened.Change}{variables}";
    }
}

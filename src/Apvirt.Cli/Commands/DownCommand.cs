using System.CommandLine;
using Apvirt.Cli.Serving;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt down</c>: ends a host that is up.</summary>
internal static class DownCommand
{
    internal static Command Create(CommandIo io)
    {
        Option<string?> name = RemoteHost.Name();
        Command command = new("down", "End the host that is up: its mounts and its control socket go with it.") { name };
        command.SetAction(parsed => RemoteHost.Ask(parsed.GetValue(name), io, client =>
        {
            client.Down();
            return ExitCodes.Ok;
        }));
        return command;
    }
}

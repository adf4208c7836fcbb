using System.CommandLine;
using Apvirt.Cli.Rendering;
using Apvirt.Cli.Serving;
using Apvirt.Control;
using Apvirt.Host.Explaining;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt explain</c>: why a queue, a mediated device or a guest has what it has.</summary>
internal static class ExplainCommand
{
    internal const string NoBus = "there is no AP bus in it; expected a sysfs such as /sys of an IBM Z, a mount or a copy of one";

    internal static Command Create(CommandIo io)
    {
        Argument<string> subject = new("APQN|UUID|GUEST") { Description = "A queue such as 05.0004, a mediated device by UUID or alias, or a guest of the host that is up." };
        Option<string?> sysfs = Sysfs();
        Option<bool> json = new("--json") { Description = "The explanation as JSON." };
        Option<string?> name = RemoteHost.Name();
        Command command = new(
            "explain",
            "Say who owns a queue and by which mask bit, what keeps a queue or an adapter out of a guest, and what would change that. On a host that is up, or on any AP sysfs, such as a real machine's.")
        {
            subject, sysfs, json, name,
        };
        command.SetAction(parsed => Run(parsed.GetValue(subject)!, parsed.GetValue(sysfs), parsed.GetValue(json), parsed.GetValue(name), io));
        return command;
    }

    internal static Option<string?> Sysfs() =>
        new("--sysfs") { Description = "A sysfs tree to look at. If left out: the host that is up, else this machine's /sys." };

    /// <summary>The tree that a command is to look at; null if that is a host that is up.</summary>
    internal static string? Choose(string? sysfs, string? name) =>
        sysfs ?? (name is null && !File.Exists(ControlSocket.PathOf(ControlSocket.DefaultName)) && Directory.Exists("/sys/bus/ap") ? "/sys" : null);

    internal static int Say(CommandIo io, Explanation? explanation, string subject, bool json)
    {
        if (explanation is null)
        {
            io.Error.WriteLine($"apvirt: \"{subject}\" is no queue such as 05.0004, no mediated device that exists, and no guest that is known here");
            return ExitCodes.BadInput;
        }
        ExplanationText.Write(io, explanation, json);
        return ExitCodes.Ok;
    }

    private static int Run(string subject, string? sysfs, bool json, string? name, CommandIo io)
    {
        if (Choose(sysfs, name) is not { } directory)
            return RemoteHost.Execute(name, io, json ? ["explain", subject, "--json"] : ["explain", subject]);
        if (ApSysfs.Read(new DirectorySource(directory)) is { } machine)
            return Say(io, new Explainer(machine, new Dictionary<string, string>(StringComparer.Ordinal), new Dictionary<string, IReadOnlyList<string>>(StringComparer.Ordinal)).Explain(subject), subject, json);
        io.Error.WriteLine($"{directory}: {NoBus}");
        return ExitCodes.BadInput;
    }
}

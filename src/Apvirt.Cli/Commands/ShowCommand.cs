using System.CommandLine;
using System.Text.Json;
using Apvirt.Cli.Rendering;
using Apvirt.Cli.Serving;
using Apvirt.Host.Description;
using Apvirt.Host.Explaining;
using Apvirt.Host.Machines;
using Apvirt.Host.Traces;
using Apvirt.Host.Views;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt show</c>: who owns each queue and which guest sees it.</summary>
internal static class ShowCommand
{
    internal static Command Create(CommandIo io)
    {
        Argument<string?> path = new("HOST|TRACE")
        {
            Description = "A description (YAML), or a trace (.jsonl), which is run to its end first; the host that is up if left out.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        Option<string?> sysfs = ExplainCommand.Sysfs();
        Option<string?> name = RemoteHost.Name();
        Option<bool> json = new("--json") { Description = "The picture as one JSON object." };
        Option<bool> yaml = new("--yaml") { Description = "The host as it is then, as a description that 'up' takes." };
        Command command = new("show", "Show a host: the matrix of adapters and domains, cards, mediated devices, guests.") { path, sysfs, json, yaml, name };
        command.SetAction(parsed => parsed.GetValue(path) is { } file
            ? Run(file, parsed.GetValue(json), parsed.GetValue(yaml), io)
            : ShowLive(parsed.GetValue(sysfs), parsed.GetValue(name), parsed.GetValue(json), parsed.GetValue(yaml), io));
        return command;
    }

    private static int ShowLive(string? sysfs, string? name, bool json, bool yaml, CommandIo io)
    {
        if (ExplainCommand.Choose(sysfs, name) is not { } directory)
        {
            return yaml
                ? RemoteHost.Execute(name, io, "snapshot")
                : RemoteHost.Ask(name, io, client => Write(client.View(), json, io));
        }
        if (ApSysfs.Read(new DirectorySource(directory)) is { } machine)
            return Write(SysfsView.Of(machine), json, io);
        io.Error.WriteLine($"{directory}: {ExplainCommand.NoBus}");
        return ExitCodes.BadInput;
    }

    private static int Write(HostView view, bool json, CommandIo io)
    {
        if (json)
            io.Out.WriteLine(JsonSerializer.Serialize(view, JsonText.Options));
        else
            HostText.Write(io, view);
        return ExitCodes.Ok;
    }

    private static int Run(string path, bool json, bool yaml, CommandIo io)
    {
        if (HostSource.Read(path, io) is not { } source)
            return ExitCodes.BadInput;
        if (Reach(path, source, io, out int status) is not { } host)
            return status;
        if (yaml)
            io.Out.Write(HostDescriptionWriter.Write(DescribedHost.Snapshot(host, source.Aliases)));
        else
            Write(HostView.Of(host, source.Aliases), json, io);
        return status;
    }

    // Brings the host into the state that is to be shown, in virtual time.
    private static VirtualHost? Reach(string path, HostSource source, CommandIo io, out int status)
    {
        status = ExitCodes.Ok;
        if (source.Description is null)
            return RunTrace(path, source, io, out status);
        SimulationRuntime runtime = new();
        KernelTask task = runtime.CreateTask("show");
        VirtualHost host = runtime.Drive(VirtualHost.BootAsync(task, DescribedHost.ToSetup(source.Description, scansByTimer: false)));
        foreach (string failure in runtime.Drive(DescribedHost.PopulateAsync(task, host, source.Description)))
        {
            io.Error.WriteLine($"{path}: {failure}");
            status = ExitCodes.Differences;
        }
        return host;
    }

    private static VirtualHost? RunTrace(string path, HostSource source, CommandIo io, out int status)
    {
        status = ExitCodes.BadInput;
        if (!InputFile.TryRead(path, io, out byte[] text))
            return null;
        TraceReader reader = new(path, text);
        TraceError? error = reader.ReadHeader(out _);
        TraceSession session = new(source.Setup);
        while (error is null)
        {
            error = reader.ReadOperation(out TraceLine? line);
            if (line is null)
                break;
            using (line)
                session.Run(line);
        }
        if (error is not null)
        {
            io.Error.WriteLine(error);
            return null;
        }
        status = ExitCodes.Ok;
        return session.Host;
    }
}

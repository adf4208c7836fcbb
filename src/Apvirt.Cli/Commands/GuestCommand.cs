using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using Apvirt.Cli.Rendering;
using Apvirt.Cli.Serving;
using Apvirt.Control;
using Apvirt.Host.Views;
using Apvirt.Sysfs.Fuse.Mounts;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt guest</c>: the guests of a host that is up.</summary>
internal static class GuestCommand
{
    internal static Command Create(CommandIo io) =>
        new("guest", "Start, stop and list guests of the host that is up, and run commands inside them.")
        {
            Start(io), Stop(io), List(io), Exec(io),
        };

    private static Command Start(CommandIo io)
    {
        Argument<string> guest = new("NAME") { Description = "The guest; a new one, or one that gets another device." };
        Option<string[]> device = new("--device", "--mdev")
        {
            Description = "A device that it opens, as QEMU would: UUID or alias of an AP mdev or vGPU, address or fid of a PCI function. May be given several times.",
            Required = true,
        };
        Option<bool> keeps = new("--no-request") { Description = "Do not listen to requests to give the device back, as an old QEMU." };
        Option<bool> isProtected = new("--protected") { Description = "Run it in secure execution." };
        Option<long?> memory = new("--memory") { Description = "Memory in MiB." };
        Option<string?> name = RemoteHost.Name();
        Command command = new("start", "Start a guest with devices, or plug them into a running one: all of them, or none if one fails.") { guest, device, keeps, isProtected, memory, name };
        command.SetAction(parsed =>
        {
            List<string> words = ["guest", "start", parsed.GetValue(guest)!, .. parsed.GetValue(device)!];
            if (parsed.GetValue(keeps))
                words.Add("no-req-irq");
            if (parsed.GetValue(isProtected))
                words.Add("protected");
            if (parsed.GetValue(memory) is { } mib)
                words.Add(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"mem={mib << 20}"));
            return RemoteHost.Execute(parsed.GetValue(name), io, words);
        });
        return command;
    }

    private static Command Stop(CommandIo io)
    {
        Argument<string> guest = new("NAME") { Description = "The guest." };
        Option<string?> name = RemoteHost.Name();
        Command command = new("stop", "Stop a guest: its devices are closed first.") { guest, name };
        command.SetAction(parsed => RemoteHost.Execute(parsed.GetValue(name), io, "guest", "stop", parsed.GetValue(guest)!));
        return command;
    }

    private static Command List(CommandIo io)
    {
        Option<bool> json = new("--json") { Description = "The guests as JSON." };
        Option<string?> name = RemoteHost.Name();
        Command command = new("list", "List the guests.") { json, name };
        command.SetAction(parsed => RemoteHost.Ask(parsed.GetValue(name), io, client =>
        {
            HostView view = client.View();
            if (parsed.GetValue(json))
                io.Out.WriteLine(JsonSerializer.Serialize(view.Guests, JsonText.Options));
            else
                GuestText.Write(io, view);
            return ExitCodes.Ok;
        }));
        return command;
    }

    private static Command Exec(CommandIo io)
    {
        Argument<string> guest = new("NAME") { Description = "The guest." };
        Argument<string[]> words = new("COMMAND") { Description = "What to run, after --.", Arity = ArgumentArity.OneOrMore };
        Option<string?> name = RemoteHost.Name();
        Command command = new(
            "exec",
            "Run a command whose /sys is what the guest's own AP bus sees. The guest looks for changes every 30 seconds, or when something is written to /sys/bus/ap/scans. The exit status is the command's.")
        {
            guest, words, name,
        };
        command.SetAction(parsed => RemoteHost.Ask(parsed.GetValue(name), io, client => Run(client, parsed.GetValue(guest)!, parsed.GetValue(words)!, io)));
        return command;
    }

    private static int Run(ControlClient client, string guest, string[] words, CommandIo io)
    {
        if (MountConditions.WhatIsMissing() is { } missing)
        {
            io.Error.WriteLine($"apvirt: {missing}");
            return ExitCodes.BadInput;
        }
        GuestTree tree = client.MountGuest(guest);
        if (tree.Directory is null)
        {
            io.Error.WriteLine($"apvirt: {tree.Problem}");
            return ExitCodes.BadInput;
        }
        ProcessStartInfo command = new(words[0], words[1..]);
        command.Environment["APVIRT_GUEST"] = guest;
        io.Out.Flush();
        string? problem = PrivateSys.Run(command, directory => PrivateSys.Bind(tree.Directory, directory), tree: null, out int status);
        if (problem is not null)
            io.Error.WriteLine($"apvirt: {problem}");
        return status;
    }
}

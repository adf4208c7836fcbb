using System.CommandLine;
using System.Diagnostics;
using Apvirt.Ap.Profiles;
using Apvirt.Cli.Prompt;
using Apvirt.Sysfs.Fuse.Mounts;
using Apvirt.Sysfs.Fuse.Serving;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt shell</c>: a shell or a command whose <c>/sys</c> is a virtual host.</summary>
internal static class ShellCommand
{
    internal static Command Create(CommandIo io)
    {
        Argument<string?> path = new("HOST")
        {
            Description = "A description (YAML), or a trace (.jsonl) whose header describes the host; a small host with two adapters if left out.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        Argument<string[]> words = new("COMMAND") { Description = "What to run, after --; a shell if left out.", Arity = ArgumentArity.ZeroOrMore };
        Command command = new(
            "shell",
            "Run a shell or a command whose /sys is a virtual host, so that lszcrypt, mdevctl and scripts just work. Nothing outside changes. The exit status is the command's.")
        {
            path, words,
        };
        command.SetAction(parsed =>
        {
            // System.CommandLine gives the first word after -- to HOST if that is missing.
            string[] all = [.. new[] { parsed.GetValue(path) }.OfType<string>(), .. parsed.GetValue(words) ?? []];
            int own = parsed.Tokens.TakeWhile(token => token.Type != System.CommandLine.Parsing.TokenType.DoubleDash).Count(token => token.Type == System.CommandLine.Parsing.TokenType.Argument);
            return own > 1
                ? Refuse(io, $"\"{all[1]}\": put the command after --, as in 'apvirt shell {all[0]} -- {all[1]}'")
                : Run(own == 1 ? all[0] : null, all[own..], io);
        });
        return command;
    }

    private static int Refuse(CommandIo io, string problem)
    {
        io.Error.WriteLine($"apvirt: {problem}");
        return ExitCodes.BadInput;
    }

    private static int Run(string? path, string[] words, CommandIo io)
    {
        if (MountConditions.WhatIsMissing() is { } missing)
            return Refuse(io, missing);
        HostSource? source = path is null ? HostSource.Small() : HostSource.Read(path, io);
        if (source is null)
            return ExitCodes.BadInput;
        LiveHost live = LiveHost.Boot(source, recording: null);
        foreach (string failure in live.Failures)
            io.Error.WriteLine($"{path}: {failure}");
        ProcessStartInfo command = words.Length > 0
            ? new ProcessStartInfo(words[0], words[1..])
            : new ProcessStartInfo(Environment.GetEnvironmentVariable("SHELL") ?? "/bin/sh");
        command.Environment["APVIRT_SHELL"] = path ?? "small host";
        io.Out.Flush();
        if (SysfsMount.Prepare(live.Host.Tree, live.KernelEntry, out SysfsMount? mount) is { } refusal)
            return Refuse(io, refusal);
        using SysfsMount mounted = mount!;
        string? problem = PrivateSys.Run(command, mounted.MountOn, live.Host.Tree, out int status);
        if (problem is not null)
            io.Error.WriteLine($"apvirt: {problem}");
        return status;
    }
}

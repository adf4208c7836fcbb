using System.CommandLine;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Apvirt.Cli.Prompt;
using Apvirt.Cli.Rendering;
using Apvirt.Cli.Serving;
using Apvirt.Control;
using Apvirt.Host.Traces;
using Apvirt.Host.Views;
using Apvirt.Kernel.Checking;
using Apvirt.Sysfs.Fuse.Mounts;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt up</c>: brings a host up and takes commands.</summary>
internal static class UpCommand
{
    private const string PromptText = "apvirt> ";

    internal static Command Create(CommandIo io)
    {
        Argument<string> path = new("HOST") { Description = "A description (YAML), or a trace (.jsonl) whose header describes the host." };
        Option<string?> record = new("--record") { Description = "Record what is typed and answered as a trace in this file." };
        Option<bool> check = CheckOptions.Check();
        Option<string?> mount = new("--mount") { Description = "Mount the host's sysfs on this directory, for real tools. The host stays up until it is told to end." };
        Option<string?> name = RemoteHost.Name();
        name.Description = "Name of the host, by which other commands find it; on a terminal, or with --mount, it is \"default\" if not given.";
        Command command = new(
            "up",
            "Bring a host up, show it, and take commands: at a prompt on a terminal, else line by line from the standard input.")
        {
            path, record, check, mount, name,
        };
        command.SetAction(parsed => Run(
            parsed.GetValue(path)!, parsed.GetValue(record), CheckOptions.Create(parsed.GetValue(check)), parsed.GetValue(mount), parsed.GetValue(name), io));
        return command;
    }

    private static int Run(string path, string? record, KernelChecks? checks, string? mount, string? name, CommandIo io)
    {
        if (mount is not null && MountConditions.WhatIsMissing() is { } missing)
            return Refuse(io, missing);
        bool isServed = mount is not null || name is not null;
        if (HostSource.Read(path, io) is not { } source)
            return ExitCodes.BadInput;
        if (!TryCreate(record, io, out StreamWriter? recording))
            return ExitCodes.BadInput;
        using StreamWriter? closing = recording;
        LiveHost live = LiveHost.Boot(source, recording, checks);
        if (recording is not null)
            Recording.Begin(recording, path, source, live.Host);
        foreach (string failure in live.Failures)
            io.Error.WriteLine($"{path}: {failure}");
        using ServedHost served = new(live, name ?? ControlSocket.DefaultName);
        if ((mount is null ? null : served.Mount(mount)) is { } refusal)
            return Refuse(io, refusal);
        if ((isServed || io.IsTerminal ? served.Listen() : null) is { } occupied)
            return Refuse(io, occupied);
        HostText.Write(io, HostView.Of(live.Host, source.Aliases));
        StrongBox<bool> isWaiting = new();
        // Kept to the end: a registration that is collected listens no more.
        PosixSignalRegistration[] signals = isServed || io.IsTerminal ? EndWhenTold(served, isWaiting) : [];
        int status = live.Failures.Count > 0 ? ExitCodes.Differences : ExitCodes.Ok;
        PromptSession session = new(live, io);
        status = Math.Max(status, TakeCommands(session, io));
        // Without a terminal the end of the input is no wish to end.
        if (isServed && !io.IsTerminal && !session.IsOver)
        {
            io.Out.Flush();
            Volatile.Write(ref isWaiting.Value, true);
            served.IsDown.Wait();
        }
        served.Dispose();
        foreach (PosixSignalRegistration signal in signals)
            signal.Dispose();
        return checks is not null && ViolationText.Write(io, checks) ? Math.Max(status, ExitCodes.Differences) : status;
    }

    private static int Refuse(CommandIo io, string problem)
    {
        io.Error.WriteLine($"apvirt: {problem}");
        return ExitCodes.BadInput;
    }

    // A signal, 'apvirt down', or somebody unmounting: nothing may stay behind, also while the prompt waits for a line.
    private static PosixSignalRegistration[] EndWhenTold(ServedHost served, StrongBox<bool> isWaiting)
    {
        _ = served.IsDown.ContinueWith(
            _ =>
            {
                if (!Volatile.Read(ref isWaiting.Value) && served.End())
                    Environment.Exit(ExitCodes.Ok);
            },
            TaskScheduler.Default);
        return [.. ((PosixSignal[])[PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP]).Select(signal =>
            PosixSignalRegistration.Create(signal, context =>
            {
                context.Cancel = true;
                served.Down();
            }))];
    }

    private static bool TryCreate(string? path, CommandIo io, out StreamWriter? file)
    {
        file = null;
        try
        {
            file = path is null ? null : new StreamWriter(path);
            return true;
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            io.Error.WriteLine($"{path}:1:1: the recording cannot be written: {problem.Message}");
            return false;
        }
    }

    private static int TakeCommands(PromptSession session, CommandIo io)
    {
        LineEditor? editor = io.IsTerminal ? new LineEditor(io.Out, () => Console.ReadKey(intercept: true), session.Complete) : null;
        int status = ExitCodes.Ok;
        while (!session.IsOver)
        {
            io.Out.Flush();
            if ((editor is null ? io.In.ReadLine() : editor.Read(PromptText)) is not { } line)
                break;
            status = Math.Max(status, session.Execute(line));
        }
        return editor is null ? status : ExitCodes.Ok;
    }
}

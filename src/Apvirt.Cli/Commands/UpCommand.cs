using System.CommandLine;
using Apvirt.Cli.Prompt;
using Apvirt.Cli.Rendering;
using Apvirt.Host.Traces;
using Apvirt.Host.Views;
using Apvirt.Kernel.Checking;

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
        Command command = new(
            "up",
            "Bring a host up, show it, and take commands: at a prompt on a terminal, else line by line from the standard input.")
        {
            path, record, check,
        };
        command.SetAction(parsed => Run(parsed.GetValue(path)!, parsed.GetValue(record), CheckOptions.Create(parsed.GetValue(check)), io));
        return command;
    }

    private static int Run(string path, string? record, KernelChecks? checks, CommandIo io)
    {
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
        HostText.Write(io, HostView.Of(live.Host, source.Aliases));
        int status = live.Failures.Count > 0 ? ExitCodes.Differences : ExitCodes.Ok;
        status = Math.Max(status, TakeCommands(new PromptSession(live, io), io));
        return checks is not null && ViolationText.Write(io, checks) ? Math.Max(status, ExitCodes.Differences) : status;
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

using System.CommandLine;
using Apvirt.Host.Traces;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt run</c>: a trace without answers gets them.</summary>
internal static class RunCommand
{
    internal static Command Create(CommandIo io)
    {
        Argument<string> path = new("TRACE") { Description = "The trace; answers that it has are replaced." };
        Command command = new("run", "Run a trace and print it with this host's answers.") { path };
        command.SetAction(parsed => Run(parsed.GetValue(path)!, io));
        return command;
    }

    private static int Run(string path, CommandIo io)
    {
        if (!InputFile.TryRead(path, io, out byte[] text))
            return ExitCodes.BadInput;
        if (new TraceReader(path, text).ReadHeader(out TraceHeader? header) is null)
            io.Out.WriteLine(TraceWriter.Format(header!));
        TraceReplayResult result = TraceReplay.Run(path, text, (line, answer) => io.Out.WriteLine(TraceWriter.Format(line, answer)));
        if (result.Error is null)
            return ExitCodes.Ok;
        io.Error.WriteLine(result.Error);
        return ExitCodes.BadInput;
    }
}

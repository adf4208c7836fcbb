using System.CommandLine;
using Apvirt.Ap.Profiles;
using Apvirt.Cli.Rendering;
using Apvirt.Host.Traces;
using Apvirt.Kernel.Checking;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt run</c>: a trace without answers gets them.</summary>
internal static class RunCommand
{
    internal static Command Create(CommandIo io)
    {
        Argument<string> path = new("TRACE") { Description = "The trace; answers that it has are replaced." };
        Option<bool> check = CheckOptions.Check();
        Option<string> profile = CheckOptions.ProfileName();
        Command command = new("run", "Run a trace and print it with this host's answers.") { path, check, profile };
        command.SetAction(parsed => Run(
            parsed.GetValue(path)!, CheckOptions.Create(parsed.GetValue(check)), Profile.Find(parsed.GetValue(profile)!)!, io));
        return command;
    }

    private static int Run(string path, KernelChecks? checks, Profile profile, CommandIo io)
    {
        if (!InputFile.TryRead(path, io, out byte[] text))
            return ExitCodes.BadInput;
        if (new TraceReader(path, text).ReadHeader(out TraceHeader? header) is null)
            io.Out.WriteLine(TraceWriter.Format(header!));
        TraceReplayResult result = TraceReplay.Run(path, text, (line, answer) => io.Out.WriteLine(TraceWriter.Format(line, answer)), profile, checks);
        if (result.Error is null)
            return checks is not null && ViolationText.Write(io with { Out = io.Error }, checks) ? ExitCodes.Differences : ExitCodes.Ok;
        io.Error.WriteLine(result.Error);
        return ExitCodes.BadInput;
    }
}

using System.CommandLine;
using Apvirt.Cli.Commands;

namespace Apvirt.Cli;

/// <summary>The command line: its commands, and what happens to the exceptions that should not be.</summary>
internal static class CommandLine
{
    private const string About = """
        An IBM Z AP crypto virtualisation host in user space.

        Examples:
          apvirt shell -- lszcrypt -V                 run a tool that sees a virtual host as /sys
          apvirt up examples/three-guests.yaml        bring a host up and get a prompt
          apvirt show examples/three-guests.yaml      who owns each queue, which guest sees it
          apvirt guest exec g1 -- lszcrypt -V         run a tool inside a guest of the host that is up
          apvirt explain --sysfs /sys 05.0004         why that queue is where it is, on any machine
          apvirt hw checkstop 5                       what a service element would do to it
          apvirt replay tests/conformance/traces      replay recordings of the real driver
          apvirt run trace.jsonl                      print this host's answers to a trace
          apvirt fuzz --seed 1 --operations 100000    many callers at once, everything checked
          apvirt explore examples/scenarios/x-perm.yaml    every order of several callers' locks
          apvirt locks tests/conformance/traces       the order of locks, as observed and as declared
          apvirt profiles                             where linux-6.12 and strict differ

        Exit status: 0 all well · 1 differences, or an operation failed · 2 bad input or usage · 70 a bug in apvirt
        """;

    internal static int Run(string[] args, CommandIo io)
    {
        RootCommand root = new(About)
        {
            ShellCommand.Create(io),
            UpCommand.Create(io),
            ShowCommand.Create(io),
            ExplainCommand.Create(io),
            GuestCommand.Create(io),
            HardwareCommand.Create(io),
            EventsCommand.Create(io),
            DownCommand.Create(io),
            ReplayCommand.Create(io),
            RunCommand.Create(io),
            FuzzCommand.Create(io),
            ExploreCommand.Create(io),
            DesignsCommand.Create(io),
            LocksCommand.Create(io),
            ProfilesCommand.Create(io),
        };
        try
        {
            ParseResult parsed = root.Parse(args);
            if (parsed.Errors.Count == 0)
                return parsed.Invoke(new InvocationConfiguration { Output = io.Out, Error = io.Error, EnableDefaultExceptionHandler = false });
            foreach (System.CommandLine.Parsing.ParseError error in parsed.Errors)
                io.Error.WriteLine($"apvirt: {error.Message}");
            io.Error.WriteLine("apvirt: see 'apvirt --help'");
            return ExitCodes.BadInput;
        }
        catch (IOException problem) when (problem.Message.Contains("Broken pipe", StringComparison.Ordinal))
        {
            // Whoever read the output has seen enough.
            return ExitCodes.Ok;
        }
        catch (Exception bug)
        {
            io.Error.WriteLine($"apvirt: this is a bug, please report it: {bug.GetType().Name}: {bug.Message}");
            io.Error.WriteLine("apvirt: APVIRT_DEBUG=1 shows where it happened");
            if (Environment.GetEnvironmentVariable("APVIRT_DEBUG") == "1")
                io.Error.WriteLine(bug);
            return ExitCodes.Internal;
        }
        finally
        {
            Flush(io.Out);
        }
    }

    private static void Flush(TextWriter output)
    {
        try
        {
            output.Flush();
        }
        catch (IOException)
        {
            // The reader of a pipe has gone; there is nobody left to tell.
        }
    }
}

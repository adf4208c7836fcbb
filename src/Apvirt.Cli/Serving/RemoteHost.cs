using System.CommandLine;
using Apvirt.Control;

namespace Apvirt.Cli.Serving;

/// <summary>A host that another process has up, as commands ask it.</summary>
internal static class RemoteHost
{
    /// <summary>The option that names it.</summary>
    internal static Option<string?> Name()
    {
        Option<string?> name = new("--name") { Description = "Name of the host, if it is not \"default\"." };
        name.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<string?>() is { } given && !ControlSocket.IsName(given))
                result.AddError($"--name: expected letters, digits, - and _, not \"{given}\"");
        });
        return name;
    }

    /// <summary>Asks the host; says so if there is none.</summary>
    internal static int Ask(string? name, CommandIo io, Func<ControlClient, int> question)
    {
        string host = name ?? ControlSocket.DefaultName;
        if (ControlSocket.Examine() is { } untrusted)
            return Refuse(io, untrusted);
        using ControlClient client = new(host);
        try
        {
            return question(client);
        }
        catch (ControlException refused)
        {
            return Refuse(io, refused.Message);
        }
        catch (HttpRequestException problem)
        {
            return Refuse(io, problem.InnerException is ControlException refused
                ? refused.Message
                : $"no host named {host} is up ({ControlSocket.PathOf(host)}); start one with 'apvirt up HOST.yaml'");
        }
    }

    private static int Refuse(CommandIo io, string problem)
    {
        io.Error.WriteLine($"apvirt: {problem}");
        return ExitCodes.BadInput;
    }

    /// <summary>Lets the host carry out a command of its prompt.</summary>
    internal static int Execute(string? name, CommandIo io, params IReadOnlyList<string> words) => Ask(name, io, client =>
    {
        CommandAnswer answer = client.Execute(words);
        io.Out.Write(answer.Out);
        io.Error.Write(answer.Error);
        return answer.Status;
    });
}

namespace Apvirt.Cli.Tests;

/// <summary>Runs the command as a user does, within this process.</summary>
internal static class CommandRun
{
    internal static string Root
    {
        get
        {
            DirectoryInfo? at = new(AppContext.BaseDirectory);
            while (at is not null && !File.Exists(Path.Combine(at.FullName, "Apvirt.slnx")))
                at = at.Parent;
            return at!.FullName;
        }
    }

    internal static string Example(string name) => Path.Combine(Root, "examples", name);

    internal static (int Status, string Out, string Error) Run(string input, params string[] args)
    {
        StringWriter output = new();
        StringWriter error = new();
        int status = CommandLine.Run(args, new CommandIo(new StringReader(input), output, error));
        return (status, output.ToString(), error.ToString());
    }
}

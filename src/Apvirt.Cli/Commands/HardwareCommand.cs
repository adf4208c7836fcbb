using System.CommandLine;
using Apvirt.Cli.Prompt;
using Apvirt.Cli.Serving;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt hw</c>: what a hardware management console does to a host that is up. The actions are the prompt's.</summary>
internal static class HardwareCommand
{
    private const string Prefix = "hw ";

    internal static Command Create(CommandIo io)
    {
        Command hardware = new("hw", "Change the hardware of the host that is up, as a service element or an HMC does.");
        foreach (PromptCommand action in PromptCommands.Table.Where(c => c.Name.StartsWith(Prefix, StringComparison.Ordinal)))
        {
            Argument<string[]> arguments = new("ARGUMENTS")
            {
                Description = action.Arguments.Length == 0 ? "none" : action.Arguments,
                Arity = ArgumentArity.ZeroOrMore,
            };
            Option<string?> name = RemoteHost.Name();
            string word = action.Name[Prefix.Length..];
            Command command = new(word, char.ToUpperInvariant(action.Help[0]) + action.Help[1..] + ".") { arguments, name };
            command.SetAction(parsed => RemoteHost.Execute(parsed.GetValue(name), io, ["hw", word, .. parsed.GetValue(arguments) ?? []]));
            hardware.Add(command);
        }
        return hardware;
    }
}

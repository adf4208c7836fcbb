namespace Apvirt.Cli;

/// <summary>Where a command reads and writes; tests give their own.</summary>
/// <param name="In">Input.</param>
/// <param name="Out">Output.</param>
/// <param name="Error">Messages and progress.</param>
/// <param name="IsTerminal">Whether input and output are a person's terminal.</param>
/// <param name="UsesColour">Whether output may be coloured: on a terminal, unless NO_COLOR is set.</param>
/// <param name="Width">Columns of the output.</param>
internal sealed record CommandIo(
    TextReader In, TextWriter Out, TextWriter Error, bool IsTerminal = false, bool UsesColour = false, int Width = 100)
{
    internal static CommandIo OfProcess()
    {
        bool isTerminal = !Console.IsInputRedirected && !Console.IsOutputRedirected;
        bool usesColour = !Console.IsOutputRedirected && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));
        int width = Console.IsOutputRedirected ? 100 : Math.Max(40, Console.WindowWidth);
        StreamWriter output = new(Console.OpenStandardOutput()) { AutoFlush = isTerminal };
        return new CommandIo(Console.In, output, Console.Error, isTerminal, usesColour, width);
    }
}

using System.Text.Json;
using Apvirt.Host.Explaining;

namespace Apvirt.Cli.Rendering;

/// <summary>An explanation for people: a statement on each line, obstacles marked, below them what would change it.</summary>
internal static class ExplanationText
{
    private const string Red = "\u001b[31m";
    private const string Plain = "\u001b[0m";

    internal static void Write(CommandIo io, Explanation explanation, bool json)
    {
        if (json)
        {
            io.Out.WriteLine(JsonSerializer.Serialize(explanation, JsonText.Options));
            return;
        }
        int width = explanation.Lines.Max(line => line.Topic.Length);
        foreach (ExplanationLine line in explanation.Lines)
        {
            string mark = line.IsObstacle ? "!" : " ";
            string text = $"{mark} {line.Topic.PadRight(width)}  {line.Text}";
            io.Out.WriteLine(line.IsObstacle && io.UsesColour ? Red + text + Plain : text);
            foreach (string command in line.Commands)
                io.Out.WriteLine($"  {"".PadRight(width)}    $ {command}");
        }
    }
}

using System.Globalization;
using System.Text.Json;
using Apvirt.Host.Traces;

namespace Apvirt.Cli.Rendering;

/// <summary>A difference as a person reads it: where, what was asked, and what is missing or too much.</summary>
internal static class DifferenceText
{
    private const int LongestValue = 160;

    internal static void Write(CommandIo io, string file, TraceDifference difference)
    {
        io.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{file}:{difference.Line}: {difference.Question}"));
        if (Items(difference.Recorded) is { } recorded && Items(difference.Answered) is { } answered)
        {
            WriteItems(io, difference.Field, "- recorded only:", recorded.Except(answered, StringComparer.Ordinal), "\u001b[31m");
            WriteItems(io, difference.Field, "+ answered only:", answered.Except(recorded, StringComparer.Ordinal), "\u001b[32m");
            return;
        }
        io.Out.WriteLine(Colour(io, $"  - {difference.Field} recorded: {Shorten(difference.Recorded)}", "\u001b[31m"));
        io.Out.WriteLine(Colour(io, $"  + {difference.Field} answered: {Shorten(difference.Answered)}", "\u001b[32m"));
    }

    private static void WriteItems(CommandIo io, string field, string label, IEnumerable<string> items, string colour)
    {
        string text = string.Join(' ', items);
        if (text.Length > 0)
            io.Out.WriteLine(Colour(io, $"  {label[0]} {field}{label[1..]} {Shorten(text)}", colour));
    }

    // The parts of a value in which single differences can be named: lists, counts, and texts of several lines.
    private static List<string>? Items(string? json)
    {
        if (json is null)
            return null;
        JsonElement value = JsonSerializer.Deserialize<JsonElement>(json);
        return value.ValueKind switch
        {
            JsonValueKind.Array => [.. value.EnumerateArray().Select(item => item.ToString())],
            JsonValueKind.Object => [.. value.EnumerateObject().Select(p => $"{p.Name}:{p.Value}")],
            JsonValueKind.String when value.GetString()!.Count(c => c == '\n') > 1 =>
                [.. value.GetString()!.Split('\n', StringSplitOptions.RemoveEmptyEntries)],
            _ => null,
        };
    }

    private static string Shorten(string? value) =>
        value is null ? "(nothing)" : value.Length <= LongestValue ? value : value[..LongestValue] + "…";

    private static string Colour(CommandIo io, string text, string colour) => io.UsesColour ? $"{colour}{text}\u001b[0m" : text;
}

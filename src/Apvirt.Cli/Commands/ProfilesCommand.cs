using System.CommandLine;
using System.Text.Json;
using Apvirt.Ap.Profiles;
using Apvirt.Cli.Rendering;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt profiles</c>: where the profiles differ.</summary>
internal static class ProfilesCommand
{
    internal static Command Create(CommandIo io)
    {
        Option<bool> json = new("--json") { Description = "The table as JSON." };
        Command command = new("profiles", "List the profiles and every quirk: what it does, what happens without it, which invariants it breaks.") { json };
        command.SetAction(parsed => Run(parsed.GetValue(json), io));
        return command;
    }

    private static int Run(bool json, CommandIo io)
    {
        if (json)
        {
            var document = new
            {
                profiles = Profile.All.Select(p => new { name = p.Name, quirks = QuirkTable.Entries.Where(e => p.Has(e.Quirk)).Select(e => e.Quirk.ToString()) }),
                quirks = QuirkTable.Entries.Select(e => new { name = e.Quirk.ToString(), finding = e.Finding, does = e.Summary, instead = e.Instead, breaks = e.Breaks }),
            };
            io.Out.WriteLine(JsonSerializer.Serialize(document, JsonText.Options));
            return ExitCodes.Ok;
        }
        Table profiles = new("PROFILE", "QUIRKS");
        foreach (Profile profile in Profile.All)
            profiles.Add(profile.Name, QuirkTable.Entries.Count(e => profile.Has(e.Quirk)).ToString(System.Globalization.CultureInfo.InvariantCulture));
        profiles.Write(io.Out);
        foreach (QuirkEntry entry in QuirkTable.Entries)
        {
            io.Out.WriteLine($"{entry.Quirk} ({entry.Finding}{(entry.Breaks.Length == 0 ? "" : $", breaks {entry.Breaks}")})");
            Write(io, "linux-6.12  ", entry.Summary);
            Write(io, "strict      ", entry.Instead);
        }
        return ExitCodes.Ok;
    }

    // A text beside its label, wrapped at the width of the output.
    private static void Write(CommandIo io, string label, string text)
    {
        string indent = $"  {label}";
        string line = indent;
        foreach (string word in text.Split(' '))
        {
            if (line.Length + word.Length + 1 > io.Width && line.Trim().Length > 0)
            {
                io.Out.WriteLine(line.TrimEnd());
                line = new string(' ', indent.Length);
            }
            line += word + " ";
        }
        io.Out.WriteLine(line.TrimEnd());
    }
}

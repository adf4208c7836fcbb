using System.Text.Json;
using Apvirt.Ap.Profiles;
using Apvirt.Cli.Rendering;
using Apvirt.Designs;
using Apvirt.Explore.Scenarios;

namespace Apvirt.Cli.Commands;

/// <summary>
/// The file of <c>explore --save</c> and <c>--replay</c>: the steps of one execution. It names tasks and locks, so it
/// outlives changes of the code that do not change what they do.
/// </summary>
internal static class ScheduleFile
{
    private sealed record Content(string Profile, string Rule, Schedule Schedule);

    internal static string Text(Scenario scenario, ScenarioViolation violation) =>
        JsonSerializer.Serialize(new Content(scenario.Profile.Name, violation.Rule, violation.Schedule), JsonText.Options) + "\n";

    internal static int Replay(Scenario scenario, string file, CommandIo io)
    {
        if (!TryRead(file, io, out Content? saved, out Profile? profile))
            return ExitCodes.BadInput;
        if (new ScenarioSearch(scenario with { Profile = profile! }).Replay(saved!.Schedule, out IReadOnlyList<ScenarioViolation> violations) is { } divergence)
        {
            io.Error.WriteLine($"{file}: {divergence}");
            return ExitCodes.BadInput;
        }
        return Tell(saved, [.. violations.Select(ExploreText.Title)], violations.Any(violation => violation.Rule == saved.Rule), io);
    }

    internal static int ReplayDesign(Scenario scenario, string file, CommandIo io)
    {
        if (!TryRead(file, io, out Content? saved, out _))
            return ExitCodes.BadInput;
        if (DesignSearch.Replay(Catalogue.All.First(entry => entry.Name == scenario.Design).Make, saved!.Schedule, out IReadOnlyList<string> defects) is { } divergence)
        {
            io.Error.WriteLine($"{file}: {divergence}");
            return ExitCodes.BadInput;
        }
        return Tell(saved, defects, defects.Count > 0, io);
    }

    private static int Tell(Content saved, IReadOnlyList<string> seen, bool isSame, CommandIo io)
    {
        foreach (string violation in seen)
            io.Out.WriteLine(violation);
        io.Out.WriteLine(isSame ? $"{saved.Schedule.Steps.Count} steps, {saved.Rule} again" : $"{saved.Schedule.Steps.Count} steps, {saved.Rule} not seen any more");
        return isSame ? ExitCodes.Differences : ExitCodes.Ok;
    }

    private static bool TryRead(string file, CommandIo io, out Content? saved, out Profile? profile)
    {
        saved = null;
        profile = null;
        if (!InputFile.TryRead(file, io, out byte[] text))
            return false;
        try
        {
            saved = JsonSerializer.Deserialize<Content>(text, JsonText.Options);
        }
        catch (JsonException problem)
        {
            io.Error.WriteLine($"{file}:{problem.LineNumber + 1}:{problem.BytePositionInLine + 1}: expected a schedule as 'apvirt explore --save' writes it");
            return false;
        }
        if (saved?.Schedule?.Steps is not null && (profile = Profile.Find(saved.Profile)) is not null)
            return true;
        io.Error.WriteLine($"{file}: expected a schedule as 'apvirt explore --save' writes it, with \"profile\", \"rule\" and \"schedule\"");
        return false;
    }
}

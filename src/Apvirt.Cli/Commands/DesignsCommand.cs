using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Apvirt.Cli.Rendering;
using Apvirt.Designs;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt designs</c>: the historical designs, explored to the end, with the defect of each.</summary>
internal static class DesignsCommand
{
    internal static Command Create(CommandIo io)
    {
        Argument<string[]> names = new("NAME") { Description = "Designs to explore; all if none is named.", Arity = ArgumentArity.ZeroOrMore };
        names.Validators.Add(result =>
        {
            foreach (string name in result.GetValueOrDefault<string[]>() ?? [])
            {
                if (!Catalogue.All.Any(entry => entry.Name == name))
                    result.AddError($"design \"{name}\" is not known; expected one of {string.Join(", ", Catalogue.All.Select(entry => entry.Name))}");
            }
        });
        Option<bool> json = new("--json") { Description = "The result as JSON." };
        Command command = new("designs", "Explore the historical locking designs to the end: each shows its defect, the final ones show none.") { names, json };
        command.SetAction(parsed => Run(parsed.GetValue(names)!, parsed.GetValue(json), io));
        return command;
    }

    internal static int Run(string[] names, bool json, CommandIo io)
    {
        (CatalogueEntry Entry, DesignResult Result)[] explored =
            [.. Catalogue.All.Where(entry => names.Length == 0 || names.Contains(entry.Name)).Select(entry => (entry, DesignSearch.Run(entry.Make)))];
        if (json)
        {
            io.Out.WriteLine(JsonSerializer.Serialize(
                explored.Select(e => new { e.Entry.Name, e.Entry.About, e.Entry.Mission, e.Result.Result, e.Result.Defects, e.Result.Cycles }), JsonText.Options));
            return ExitCodes.Ok;
        }
        Table table = new("DESIGN", "TRACES", "DEFECTS", "ABOUT");
        foreach ((CatalogueEntry entry, DesignResult result) in explored)
        {
            string defects = string.Join("; ", result.Defects.Select(defect => $"{defect.Key} in {defect.Value}"));
            table.Add(entry.Name, result.Result.Executions.ToString(CultureInfo.InvariantCulture), defects.Length == 0 ? "none" : defects, $"{entry.About} ({entry.Mission})");
        }
        table.Write(io.Out);
        foreach ((CatalogueEntry entry, DesignResult result) in explored)
        {
            foreach (Apvirt.Explore.Engine.PredictedCycle cycle in result.Cycles)
                io.Out.WriteLine($"{entry.Name}: {cycle}");
        }
        return ExitCodes.Ok;
    }
}

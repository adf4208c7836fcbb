using System.Globalization;
using System.Text.Json.Nodes;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Validation;

namespace Apvirt.Cli.Rendering;

/// <summary>What checks found: predicted violations in a line each, unexpected ones with all that is known.</summary>
internal static class ViolationText
{
    /// <summary>Writes the violations and says whether one was not predicted.</summary>
    internal static bool Write(CommandIo io, KernelChecks checks)
    {
        Violation[] violations = checks.Violations.ToArray();
        Violation[] unexpected = [.. violations.Where(v => v.Finding is null)];
        foreach (IGrouping<(string, string), Violation> group in violations.Where(v => v.Finding is not null).GroupBy(v => (v.Finding!, v.Rule)))
            io.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"predicted: {group.Key.Item1} breaks {group.Key.Item2} in {group.Count()} places, such as: {group.First().Summary}"));
        foreach (Violation violation in unexpected)
        {
            io.Error.WriteLine($"violation: {violation}");
            if (violation.Details.Length > 0)
                io.Error.WriteLine(violation.Details.TrimEnd());
        }
        io.Out.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"checked: {violations.Length - unexpected.Length} predicted violations, {unexpected.Length} unexpected"));
        return unexpected.Length > 0;
    }

    internal static JsonArray ToJson(KernelChecks checks) => new(
    [
        .. checks.Violations.ToArray().Select(v => new JsonObject
        {
            ["kind"] = v.Kind.ToString(),
            ["rule"] = v.Rule,
            ["finding"] = v.Finding,
            ["summary"] = v.Summary,
            ["task"] = v.Task,
            ["locks"] = v.Locks is null ? null : LockReportJson.Of(v.Locks),
        }),
    ]);
}

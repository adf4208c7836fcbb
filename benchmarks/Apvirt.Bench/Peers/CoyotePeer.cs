namespace Apvirt.Bench.Peers;

/// <summary>
/// Microsoft Coyote, on the program of benchmarks/Apvirt.Bench.Coyote: built, rewritten by Coyote's tool in a copy, and run in
/// a process of its own.
/// </summary>
/// <param name="folder">Where the rewritten copy is put.</param>
/// <param name="notes">What is to be said below the table.</param>
internal sealed class CoyotePeer(string folder, List<string> notes)
{
    private const string Project = "Apvirt.Bench.Coyote";
    private const int Seeds = 9;
    private static readonly string Second = PeersReport.SecondsMax.ToString(System.Globalization.CultureInfo.InvariantCulture);
    private static readonly TimeSpan BuildMax = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan FirstMax = TimeSpan.FromSeconds((Seeds + 1) * PeersReport.SecondsMax);

    // Coyote's own names for them.
    private static readonly string[] Strategies = ["random", "prioritization", "fair-prioritization", "dfs"];

    private bool _isPrepared;
    private string? _missing;

    /// <summary>Measures a program with each strategy.</summary>
    /// <param name="program">The program.</param>
    internal IEnumerable<PeerRow> Rows(PeerProgram program)
    {
        if (!_isPrepared)
        {
            _missing = Prepare();
            _isPrepared = true;
            notes.Add("Coyote: prioritization is its PCT; dfs is in the package and not offered (called by reflection). Traces are counted by our program, not by Coyote. A deadlock's times are the median of seeds that follow in a process, and the first, cold.");
        }
        if (_missing is not null)
        {
            yield return PeerRow.Missing("Coyote", program.Name, _missing);
            yield break;
        }
        foreach (string strategy in Strategies)
        {
            ChildResult? first = program.CanDeadlock ? Child(program, strategy, "first", FirstMax) : null;
            ChildResult all = Child(program, strategy, "all", TimeSpan.FromSeconds(3 * PeersReport.SecondsMax));
            if ((first is { Status: not 0 } ? first : all) is { Status: not 0 } failed)
            {
                yield return PeerRow.Missing($"Coyote {failed.Text("version")}, {strategy}", program.Name, failed.Reason);
                continue;
            }
            string executions = PeersReport.Count(all.Number("executions")!.Value);
            yield return new PeerRow(
                $"Coyote {all.Text("version")}, {strategy}",
                program.Name,
                $"{executions} schedules, {all.Text("traces")} of {program.Known.Traces} traces",
                First(first),
                all.Number("seconds") < PeersReport.SecondsMax ? PeersReport.Time(all.Number("seconds")!.Value * 1000) : $"not exhausted: {executions} schedules in {PeersReport.SecondsMax} s",
                all.Text("report") ?? "no bugs found");
        }
    }

    private static string First(ChildResult? first) => first is null
        ? "none"
        : first.Number("cold") is not { } cold
            ? $"not found in {PeersReport.SecondsMax} s"
            : $"{PeersReport.Time(first.Number("warm")!.Value)} warm, {PeersReport.Time(cold)} cold, schedule {first.Text("least")} to {first.Text("most")} of {Seeds} seeds";

    // What is missing; null if nothing is.
    private string? Prepare()
    {
        if (ChildProcess.Find("coyote") is not { } coyote)
            return "not installed: `dotnet tool install --global Microsoft.Coyote.CLI --version 1.7.11`";
        ChildResult built = ChildProcess.Run("dotnet", Checkout.Root, BuildMax, "build", Path.Combine("benchmarks", Project), "-c", "Release", "-v", "q", "--nologo", "-clp:NoSummary", "-p:UseSharedCompilation=false", "-nodeReuse:false");
        if (built.Status != 0)
            return $"benchmarks/{Project} does not build: {built.Reason}";
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
        Directory.CreateDirectory(folder);
        foreach (string file in Directory.GetFiles(Path.Combine(Checkout.Root, "benchmarks", Project, "bin", "Release", "net10.0")))
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        ChildResult rewritten = ChildProcess.Run(coyote, folder, BuildMax, "rewrite", Path.Combine(folder, Project + ".dll"));
        return rewritten.Status == 0 ? null : $"`coyote rewrite` failed: {rewritten.Reason}";
    }

    private ChildResult Child(PeerProgram program, string strategy, string until, TimeSpan limit) =>
        ChildProcess.Run("dotnet", folder, limit, Path.Combine(folder, Project + ".dll"), program.Numbers, strategy, Second, until);
}

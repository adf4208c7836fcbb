using System.Text.RegularExpressions;

namespace Apvirt.Bench.Peers;

/// <summary>Spin, on models that are made of the programs, with its partial order reduction and without.</summary>
/// <param name="folder">Where models and verifiers are put.</param>
/// <param name="notes">What is to be said below the table.</param>
internal sealed partial class SpinPeer(string folder, List<string> notes)
{
    private const int Runs = 5;

    // The default table of 128 MiB takes 0.4 s to clear, which says nothing of the search.
    private const string TableSize = "-w18";
    private static readonly TimeSpan SearchMax = TimeSpan.FromSeconds(PeersReport.SecondsMax);

    private bool _isNoted;

    /// <summary>Measures a program with each search.</summary>
    /// <param name="program">The program.</param>
    internal IEnumerable<PeerRow> Rows(PeerProgram program)
    {
        if (ChildProcess.Find("spin") is not { } spin || ChildProcess.Find("gcc") is not { } gcc)
        {
            yield return PeerRow.Missing("Spin", program.Name, "not installed: `apt-get install -y spin gcc`");
            yield break;
        }
        string version = Version().Match(ChildProcess.Run(spin, ".", SearchMax, "-V").Output).Value;
        if (!_isNoted)
        {
            _isNoted = true;
            notes.Add("Spin: \"cold\" is making, compiling and running the verifier, \"warm\" the run of its process alone (the least of 5), which includes its start.");
        }
        foreach ((string name, string[] options) in new[] { ("reduced", Array.Empty<string>()), ("not reduced", ["-DNOREDUCE"]) })
        {
            string tool = $"Spin {version}, {name}";
            string at = Path.Combine(folder, $"{program.Name} {name}".Replace(' ', '-'));
            Directory.CreateDirectory(at);
            File.WriteAllText(Path.Combine(at, "model.pml"), program.Promela);
            ChildResult made = ChildProcess.Run(spin, at, SearchMax, "-a", "model.pml");
            ChildResult compiled = ChildProcess.Run(gcc, at, SearchMax, ["-O2", "-DSAFETY", .. options, "-o", "pan", "pan.c"]);
            if (made.Status != 0 || compiled.Status != 0)
            {
                yield return PeerRow.Missing(tool, program.Name, (made.Status != 0 ? made : compiled).Reason);
                continue;
            }
            double making = (made.Elapsed + compiled.Elapsed).TotalMilliseconds;
            (ChildResult first, double firstTime) = Least(at, "-c1");
            (ChildResult all, double allTime) = Least(at, "-c0");
            bool isFound = Invalid().IsMatch(first.Output);
            if (all.Status == -1)
            {
                yield return new PeerRow(tool, program.Name, "", isFound ? Times(firstTime, making) : "", $"not exhausted in {PeersReport.SecondsMax} s", "");
                continue;
            }
            string states = States().Match(all.Output).Groups[1].Value;
            yield return new PeerRow(
                tool,
                program.Name,
                $"{PeersReport.Count(double.Parse(states, System.Globalization.CultureInfo.InvariantCulture))} states",
                isFound ? Times(firstTime, making) : "none",
                all.Output.Contains("Search not completed", StringComparison.Ordinal) ? $"not exhausted: {states} states" : Times(allTime, making),
                isFound ? $"{Invalid().Match(first.Output).Value}; its trail: {Trail(spin, at)}" : Errors().Match(all.Output).Value);
        }
    }

    // Where the processes are at the end of the trail.
    private static string Trail(string spin, string at) =>
        string.Join(", ", Place().Matches(ChildProcess.Run(spin, at, SearchMax, "-t", "model.pml").Output).Select(place => $"{place.Groups[1].Value} at {place.Groups[2].Value} (state {place.Groups[3].Value})"));

    private static (ChildResult Result, double Milliseconds) Least(string at, string option)
    {
        ChildResult[] runs = [.. Enumerable.Range(0, Runs).Select(_ => ChildProcess.Run(Path.Combine(at, "pan"), at, SearchMax, option, TableSize))];
        return (runs[0], runs.Min(run => run.Elapsed.TotalMilliseconds));
    }

    private static string Times(double warm, double making) => $"{PeersReport.Time(warm)} warm, {PeersReport.Time(warm + making)} cold";

    [GeneratedRegex(@"\d+\.\d+\.\d+")]
    private static partial Regex Version();

    [GeneratedRegex(@"([\d.e+]+) states, stored")]
    private static partial Regex States();

    [GeneratedRegex("pan:[0-9]+: invalid end state[^\n]*")]
    private static partial Regex Invalid();

    [GeneratedRegex(@"errors: \d+")]
    private static partial Regex Errors();

    [GeneratedRegex(@"proc +\d+ \((\w+):\d+\) (\S+) \(state (\d+)\)")]
    private static partial Regex Place();
}

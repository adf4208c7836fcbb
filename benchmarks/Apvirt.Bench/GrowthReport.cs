using System.Diagnostics;
using System.Globalization;
using Apvirt.Ap.Profiles;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;

namespace Apvirt.Bench;

/// <summary>
/// How the number of traces grows with the callers of a scenario, and where the time of one search ends. docs/performance.md has the
/// table.
/// </summary>
internal static class GrowthReport
{
    private const string Matrix = "/sys/devices/vfio_ap/matrix";
    private const string First = "62177883-f1bb-47f0-914d-32a22e3a8804";
    private static readonly TimeSpan TimeMax = TimeSpan.FromSeconds(60);

    /// <summary>A scenario that has as many callers as one likes.</summary>
    private sealed record Growing(string Name, string About, int Least, Func<int, Scenario> Make);

    private static readonly Growing[] All =
    [
        new("X-two", "threads of one guest, each opening a mediated device of its own", 2, Openers),
        new("X-rm", "a removal, a guest, an unbind, and then more unbinds", 3, Removers),
        new("two-admins", "scripts that make, change and remove one mediated device", 2, Administrators),
    ];

    /// <summary>Prints the table.</summary>
    /// <param name="output">Where to.</param>
    internal static void Print(TextWriter output)
    {
        output.WriteLine("| scenario | callers | traces | outcomes | steps at most | time | executions a second |");
        output.WriteLine("|---|---|---|---|---|---|---|");
        // What is compiled first is no matter of the first scenario.
        new ScenarioSearch(Openers(2)).Run(new ExploreOptions { TimeMax = TimeMax });
        foreach (Growing growing in All)
        {
            Verdict verdict = Verdict.Exhausted;
            for (int callers = growing.Least; verdict == Verdict.Exhausted; callers++)
            {
                long start = Stopwatch.GetTimestamp();
                ScenarioResult result = new ScenarioSearch(growing.Make(callers)).Run(new ExploreOptions { TimeMax = TimeMax, Jobs = Environment.ProcessorCount });
                double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
                verdict = result.Result.Verdict;
                output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {growing.Name} | {callers} | {(verdict == Verdict.Exhausted ? "" : "more than ")}{result.Result.Executions:N0} | {result.Outcomes} | {result.Result.DepthReached} | {seconds:F1} s | {(result.Result.Executions + result.Result.Blocked) / seconds:N0} |"));
                output.Flush();
            }
        }
        output.WriteLine();
        foreach (Growing growing in All)
            output.WriteLine($"{growing.Name}: {growing.About}.");
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"On {Environment.ProcessorCount} processors; a search has {TimeMax.TotalSeconds:F0} s. Callers that do the same are explored up to exchange."));
    }

    private static Scenario Openers(int callers)
    {
        List<string> setUp = [];
        string Mdev(int i) => string.Create(CultureInfo.InvariantCulture, $"62177883-f1bb-47f0-914d-32a22e3a88{i:d2}");
        for (int i = 0; i < callers; i++)
        {
            setUp.Add(Write("mdev_supported_types/vfio_ap-passthrough/create", Mdev(i)));
            setUp.Add(Write($"{Mdev(i)}/assign_domain", "4"));
            setUp.Add(Write($"{Mdev(i)}/assign_adapter", (4 + i).ToString(CultureInfo.InvariantCulture)));
        }
        setUp.Add("""{"op":"guest.create","guest":"g"}""");
        for (int i = 0; i < callers; i++)
        {
            setUp.Add($$"""{"op":"cdev.open","guest":"g","mdev":"{{Mdev(i)}}","file":"f{{i}}"}""");
            setUp.Add($$"""{"op":"kvm.file_add","guest":"g","file":"f{{i}}"}""");
        }
        return Make(callers, setUp, i => [$$"""{"op":"cdev.bind","guest":"g","file":"f{{i}}"}"""]);
    }

    private static Scenario Removers(int callers) => Make(
        1,
        [Write("mdev_supported_types/vfio_ap-passthrough/create", First), Write($"{First}/assign_domain", "4"), Write($"{First}/assign_adapter", "4")],
        i => i switch
        {
            0 => [Write($"{First}/remove", "1")],
            1 => [$$"""{"op":"guest.start","guest":"g","mdev":"{{First}}"}""", """{"op":"guest.stop","guest":"g"}"""],
            _ => ["""{"op":"write","path":"/sys/bus/ap/drivers/vfio_ap/unbind","data":"04.0004"}"""],
        },
        callers);

    private static Scenario Administrators(int callers) => Make(
        1, [],
        _ => [Write("mdev_supported_types/vfio_ap-passthrough/create", First), Write($"{First}/assign_adapter", "4"), Write($"{First}/remove", "1")],
        callers);

    private static string Write(string file, string data) => $$"""{"op":"write","path":"{{Matrix}}/{{file}}","data":"{{data}}"}""";

    private static Scenario Make(int adapters, IReadOnlyList<string> setUp, Func<int, string[]> operations, int? callers = null) => new(
        "growth", Profile.Strict,
        $$"""{"trace":"apvirt-trace/1","about":"growth","host":{"apxa":true,"max_adapter":255,"max_domain":255,"adapters":[{{string.Join(',', Enumerable.Range(4, adapters))}}],"domains":[4],"control_domains":[4],"type":"CEX8C hwtype 14"},"apmask":"0x0","aqmask":"0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"}""",
        setUp,
        [.. Enumerable.Range(0, callers ?? adapters).Select(i => new ScenarioTask($"caller {i}", operations(i)))],
        [], null);
}

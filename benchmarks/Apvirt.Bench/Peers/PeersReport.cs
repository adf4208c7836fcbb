using System.Globalization;

namespace Apvirt.Bench.Peers;

/// <summary>
/// The searches of apvirt beside other tools, on the same programs, one after another on this machine. Each runs in a process
/// of its own. What is not installed is named with the command that installs it.
/// </summary>
internal static class PeersReport
{
    /// <summary>The most time of one search.</summary>
    internal const int SecondsMax = 20;

    /// <summary>Prints the table.</summary>
    /// <param name="output">Where to.</param>
    internal static void Print(TextWriter output)
    {
        string folder = Path.Combine(Checkout.Root, ".build", "bench", "peers");
        Directory.CreateDirectory(folder);
        output.WriteLine("| tool | program | explored | first deadlock | everything explored | what it says |");
        output.WriteLine("|---|---|---|---|---|---|");
        List<string> notes = [];
        CoyotePeer coyote = new(Path.Combine(folder, "coyote"), notes);
        SpinPeer spin = new(Path.Combine(folder, "spin"), notes);
        foreach (PeerProgram program in PeerProgram.All)
        {
            foreach (PeerRow row in OwnPeer.Rows(program).Concat(coyote.Rows(program)).Concat(spin.Rows(program)))
            {
                output.WriteLine($"| {row.Tool} | {row.Program} | {row.Explored} | {row.Deadlock} | {row.End} | {row.Says} |");
                output.Flush();
            }
        }
        output.WriteLine();
        output.WriteLine($"A search has {SecondsMax} s. Times are those of the search without the start of its process; \"cold\" is the first search of a process, \"warm\" the least time of others.");
        foreach (string note in notes)
            output.WriteLine(note);
        output.WriteLine();
        foreach (PeerProgram program in PeerProgram.All)
        {
            output.WriteLine($"{program.Name} in Promela:");
            output.WriteLine(program.Promela);
        }
    }

    /// <summary>A time in the unit that fits it.</summary>
    /// <param name="milliseconds">The time.</param>
    internal static string Time(double milliseconds) => string.Create(CultureInfo.InvariantCulture, $"{(milliseconds switch
    {
        < 1 => milliseconds * 1000,
        < 1000 => milliseconds,
        _ => milliseconds / 1000,
    }):0.##} {(milliseconds switch { < 1 => "us", < 1000 => "ms", _ => "s" })}");

    /// <summary>A number with its thousands apart.</summary>
    /// <param name="number">The number.</param>
    internal static string Count(double number) => number.ToString("N0", CultureInfo.InvariantCulture);
}

namespace Apvirt.Bench.Peers;

/// <summary>One row of the comparison.</summary>
/// <param name="Tool">The tool and how it searches.</param>
/// <param name="Program">The program.</param>
/// <param name="Explored">How much it explored.</param>
/// <param name="Deadlock">When it came to the first deadlock.</param>
/// <param name="End">When it had explored everything, or that it had not.</param>
/// <param name="Says">What it tells its user.</param>
internal sealed record PeerRow(string Tool, string Program, string Explored, string Deadlock, string End, string Says)
{
    /// <summary>A row for something that could not be measured.</summary>
    internal static PeerRow Missing(string tool, string program, string why) => new(tool, program, "not measured", "", "", why);
}

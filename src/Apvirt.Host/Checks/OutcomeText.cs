using System.Text.Json;
using Apvirt.Host.Machines;
using Apvirt.Host.Views;

namespace Apvirt.Host.Checks;

/// <summary>
/// What operations have answered and the state that they leave, as a text that two runs can be compared by. ENODEV and
/// ENOENT count as one: a file that goes between its opening and the call answers the first where one that had gone before
/// answers the second (G9).
/// </summary>
public static class OutcomeText
{
    /// <summary>Makes the text.</summary>
    /// <param name="host">The host, at rest.</param>
    /// <param name="answers">The operations with their answers.</param>
    public static string Of(VirtualHost host, IEnumerable<string> answers) =>
        string.Join('\n', answers).Replace("\"ENODEV\"", "\"ENOENT\"", StringComparison.Ordinal) + JsonSerializer.Serialize(HostView.Of(host));
}

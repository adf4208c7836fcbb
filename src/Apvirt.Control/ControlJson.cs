using System.Text.Encodings.Web;
using System.Text.Json;

namespace Apvirt.Control;

/// <summary>How messages of the control socket look.</summary>
public static class ControlJson
{
    /// <summary>Answers.</summary>
    public static JsonSerializerOptions Options { get; } = new(JsonSerializerDefaults.Web) { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Events, each on a line of its own.</summary>
    public static JsonSerializerOptions Lines { get; } = new(JsonSerializerDefaults.Web) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
}

/// <summary>A request that was not carried out.</summary>
/// <param name="Problem">Why.</param>
internal sealed record Refusal(string Problem);

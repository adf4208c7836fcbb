using System.Text.Encodings.Web;
using System.Text.Json;

namespace Apvirt.Host.Traces;

/// <summary>How traces are written.</summary>
internal static class TraceJson
{
    /// <summary>Nothing is escaped that JSON does not demand, so that paths stay readable.</summary>
    internal static JsonWriterOptions Writing { get; } = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
}

using System.Text;
using System.Text.Json;
using Apvirt.Ap.Architecture;

namespace Apvirt.Host.Traces;

/// <summary>Writes headers and operations with their answers, in the form that <see cref="TraceReader"/> reads.</summary>
public static class TraceWriter
{
    /// <summary>The header line.</summary>
    /// <param name="header">The header.</param>
    public static string Format(TraceHeader header) => Write(writer =>
    {
        writer.WriteStartObject();
        writer.WriteString("trace", "apvirt-trace/1");
        writer.WriteString("about", header.About);
        writer.WriteStartObject("host");
        writer.WriteBoolean("apxa", header.HasApxa);
        writer.WriteNumber("max_adapter", header.MaxAdapter);
        writer.WriteNumber("max_domain", header.MaxDomain);
        WriteIds(writer, "adapters", header.Adapters);
        WriteIds(writer, "domains", header.Domains);
        WriteIds(writer, "control_domains", header.ControlDomains);
        writer.WriteString("type", header.Type);
        if (!header.OldAdapters.IsEmpty)
            WriteIds(writer, "old_adapters", header.OldAdapters);
        if (!header.HasSecureExecution)
            writer.WriteBoolean("pv", false);
        if (!header.HasSecureAiv)
            writer.WriteBoolean("pv_aiv", false);
        TracePci.Write(writer, header.PciFunctions);
        writer.WriteEndObject();
        writer.WriteString("apmask", header.ApMaskText);
        writer.WriteString("aqmask", header.AqMaskText);
        writer.WriteEndObject();
    });

    /// <summary>An operation with an answer in place of the one it may have had.</summary>
    /// <param name="line">The operation.</param>
    /// <param name="answer">The answer; null to leave answers out.</param>
    public static string Format(TraceLine line, Answer? answer) => Write(writer =>
    {
        writer.WriteStartObject();
        foreach (JsonProperty field in line.Fields.EnumerateObject())
        {
            if (!IsAnswer(line, field.Name))
                field.WriteTo(writer);
        }
        foreach ((string name, AnswerValue value) in answer?.Fields ?? [])
        {
            writer.WritePropertyName(name);
            value.Write(writer);
        }
        writer.WriteEndObject();
    });

    /// <summary>Whether a field of a line is an answer. queue.fault takes an <c>rc</c>; elsewhere it is an answer.</summary>
    internal static bool IsAnswer(TraceLine line, string field) =>
        line.Operation!.Answers.Contains(field) && line.Operation.Fields.All(spec => !string.Equals(spec.Name, field, StringComparison.Ordinal));

    private static void WriteIds(Utf8JsonWriter writer, string name, ApMask ids)
    {
        writer.WriteStartArray(name);
        foreach (int id in ids)
            writer.WriteNumberValue(id);
        writer.WriteEndArray();
    }

    private static string Write(Action<Utf8JsonWriter> write)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter writer = new(stream, TraceJson.Writing))
            write(writer);
        return Encoding.UTF8.GetString(stream.ToArray());
    }
}

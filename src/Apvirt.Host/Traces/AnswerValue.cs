using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Apvirt.Host.Traces;

/// <summary>One value of an answer. Knows how to compare itself with what was recorded, without making objects for it.</summary>
public abstract class AnswerValue
{
    /// <summary>Whether the recorded value is the same.</summary>
    /// <param name="recorded">The recorded value.</param>
    public abstract bool Matches(JsonElement recorded);

    /// <summary>Writes the value.</summary>
    /// <param name="writer">Where to.</param>
    public abstract void Write(Utf8JsonWriter writer);

    /// <summary>The value as JSON text.</summary>
    public override string ToString()
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter writer = new(stream, TraceJson.Writing))
            Write(writer);
        return Encoding.UTF8.GetString(stream.ToArray());
    }
}

/// <summary>A text.</summary>
/// <param name="utf8">Its bytes; may belong to a page that is used again after the answer was read.</param>
internal sealed class TextValue(ReadOnlyMemory<byte> utf8) : AnswerValue
{
    internal TextValue(string text) : this(Encoding.UTF8.GetBytes(text))
    {
    }

    public override bool Matches(JsonElement recorded) => recorded.ValueKind == JsonValueKind.String && recorded.ValueEquals(utf8.Span);

    public override void Write(Utf8JsonWriter writer) => writer.WriteStringValue(utf8.Span);
}

/// <summary>A number.</summary>
internal sealed class NumberValue(long value) : AnswerValue
{
    public override bool Matches(JsonElement recorded) =>
        recorded.ValueKind == JsonValueKind.Number && recorded.TryGetInt64(out long number) && number == value;

    public override void Write(Utf8JsonWriter writer) => writer.WriteNumberValue(value);
}

/// <summary>A list of numbers.</summary>
internal sealed class NumbersValue(IReadOnlyList<int> values) : AnswerValue
{
    public override bool Matches(JsonElement recorded)
    {
        if (recorded.ValueKind != JsonValueKind.Array || recorded.GetArrayLength() != values.Count)
            return false;
        int i = 0;
        foreach (JsonElement number in recorded.EnumerateArray())
        {
            if (number.ValueKind != JsonValueKind.Number || !number.TryGetInt32(out int value) || value != values[i++])
                return false;
        }
        return true;
    }

    public override void Write(Utf8JsonWriter writer)
    {
        writer.WriteStartArray();
        foreach (int value in values)
            writer.WriteNumberValue(value);
        writer.WriteEndArray();
    }
}

/// <summary>A list of names.</summary>
internal sealed class NamesValue(IReadOnlyList<string> names) : AnswerValue
{
    public override bool Matches(JsonElement recorded)
    {
        if (recorded.ValueKind != JsonValueKind.Array || recorded.GetArrayLength() != names.Count)
            return false;
        int i = 0;
        foreach (JsonElement name in recorded.EnumerateArray())
        {
            if (name.ValueKind != JsonValueKind.String || !name.ValueEquals(names[i++]))
                return false;
        }
        return true;
    }

    public override void Write(Utf8JsonWriter writer)
    {
        writer.WriteStartArray();
        foreach (string name in names)
            writer.WriteStringValue(name);
        writer.WriteEndArray();
    }
}

/// <summary>Numbers by name, in the order given; zeros are left out by whoever makes it.</summary>
internal sealed class CountsValue(IReadOnlyList<KeyValuePair<string, int>> counts) : AnswerValue
{
    internal bool IsEmpty => counts.Count == 0;

    public override bool Matches(JsonElement recorded)
    {
        if (recorded.ValueKind != JsonValueKind.Object)
            return false;
        int i = 0;
        foreach (JsonProperty property in recorded.EnumerateObject())
        {
            if (i >= counts.Count || !property.NameEquals(counts[i].Key)
                || !property.Value.TryGetInt32(out int count) || count != counts[i].Value)
            {
                return false;
            }
            i++;
        }
        return i == counts.Count;
    }

    public override void Write(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        foreach ((string name, int count) in counts)
            writer.WriteNumber(name, count);
        writer.WriteEndObject();
    }

    public override string ToString() =>
        "{" + string.Join(',', counts.Select(c => string.Create(CultureInfo.InvariantCulture, $"\"{c.Key}\":{c.Value}"))) + "}";
}

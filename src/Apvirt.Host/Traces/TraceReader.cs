using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Apvirt.Ap.Architecture;

namespace Apvirt.Host.Traces;

/// <summary>One line of a trace, read and checked. Dispose it when its fields are not needed any more.</summary>
public sealed class TraceLine : IDisposable
{
    private readonly JsonDocument _document;

    internal TraceLine(int number, JsonDocument document, TraceOperation? operation)
    {
        Number = number;
        _document = document;
        Operation = operation;
    }

    /// <summary>Line in the file, from 1.</summary>
    public int Number { get; }

    /// <summary>The fields.</summary>
    public JsonElement Fields => _document.RootElement;

    /// <summary>What it does, as in <c>op</c>.</summary>
    public string Name => Operation?.Name ?? "";

    /// <summary>The line with its answers taken out: what was asked.</summary>
    public string Question => TraceWriter.Format(this, answer: null);

    /// <summary>
    /// Whether an error of the operation leaves everything as it was (I30); others say nothing of it. A PCI function is taken
    /// from whoever has it before the firmware is asked to disable it, so a slot whose power cannot be cut has lost its device.
    /// </summary>
    public bool ChangesNothingOnError => Operation?.Name == "write" && !Fields.Text("path").EndsWith("/power", StringComparison.Ordinal);

    /// <summary>Whether the operation takes a picture of the whole at one moment, which no caller could.</summary>
    public bool IsPicture => Operation?.IsPicture == true;

    /// <summary>Whether it is what user space does by several calls, between which others come in.</summary>
    public bool IsSeveralCalls => Operation?.IsSeveralCalls == true;

    internal TraceOperation? Operation { get; }

    /// <inheritdoc/>
    public void Dispose() => _document.Dispose();
}

/// <summary>Reads a trace line by line (FORMAT.md): JSON, then the operation's fields by table, with file, line and column of what is wrong.</summary>
public sealed partial class TraceReader
{
    private const string Format = "apvirt-trace/1";

    private readonly string _file;
    private readonly ReadOnlyMemory<byte> _text;
    private int _at;
    private int _line;

    /// <summary>Makes a reader at the begin of a trace.</summary>
    /// <param name="file">Name of the file, for errors.</param>
    /// <param name="text">The trace.</param>
    public TraceReader(string file, ReadOnlyMemory<byte> text)
    {
        _file = file;
        _text = text.Span.StartsWith("\uFEFF"u8) ? text[3..] : text;
    }

    /// <summary>Reads the header.</summary>
    /// <param name="header">The header.</param>
    /// <returns>What is wrong, null if nothing is.</returns>
    public TraceError? ReadHeader(out TraceHeader? header)
    {
        header = null;
        if (!TryNextLine(out ReadOnlyMemory<byte> line))
            return new TraceError(_file, 1, 1, $"the trace is empty; expected a header {{\"trace\":\"{Format}\",…}}");
        if (Parse(line, out JsonDocument? document) is { } error)
            return error;
        using (document)
            return ReadHeader(line, document!.RootElement, out header);
    }

    /// <summary>Reads the next operation.</summary>
    /// <param name="operation">The operation; null at the end of the trace.</param>
    /// <returns>What is wrong, null if nothing is.</returns>
    public TraceError? ReadOperation(out TraceLine? operation)
    {
        operation = null;
        if (!TryNextLine(out ReadOnlyMemory<byte> line))
            return null;
        return ReadOperation(line, out operation);
    }

    /// <summary>Reads one operation that stands alone, as typed at a prompt.</summary>
    /// <param name="text">The operation.</param>
    /// <param name="operation">The operation.</param>
    /// <returns>What is wrong, null if nothing is.</returns>
    public static TraceError? ReadSingle(ReadOnlyMemory<byte> text, out TraceLine? operation)
    {
        TraceReader reader = new("input", text);
        // A trace may end, or have empty lines; what stands alone may not be empty.
        return reader.ReadOperation(out operation) ?? (operation is null ? reader.Parse(text, out _) : null);
    }

    [GeneratedRegex(@"hwtype (?<type>\d+)", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex HwTypePattern();

    private TraceError? ReadOperation(ReadOnlyMemory<byte> line, out TraceLine? operation)
    {
        operation = null;
        if (Parse(line, out JsonDocument? document) is { } error)
            return error;
        JsonElement fields = document!.RootElement;
        error = fields.TryGetProperty("op", out JsonElement op) && op.ValueKind == JsonValueKind.String
            ? TraceOperations.ByName.TryGetValue(op.GetString()!, out TraceOperation? known)
                ? Check(line, fields, known)
                : At(line, "op", $"operation \"{op.GetString()}\" is not known; expected one of {string.Join(", ", TraceOperations.ByName.Keys.Order(StringComparer.Ordinal))}")
            : At(line, "op", "expected a field \"op\" that names an operation");
        if (error is not null)
        {
            document.Dispose();
            return error;
        }
        operation = new TraceLine(_line, document, TraceOperations.ByName[op.GetString()!]);
        return null;
    }

    private TraceError? Check(ReadOnlyMemory<byte> line, JsonElement fields, TraceOperation operation)
    {
        foreach (FieldSpec spec in operation.Fields)
        {
            if (!fields.TryGetProperty(spec.Name, out JsonElement value))
            {
                if (spec.IsRequired)
                    return At(line, null, $"operation \"{operation.Name}\" has no field \"{spec.Name}\", which it needs");
            }
            else if (OperationFields.Complaint(spec, value) is { } expected)
            {
                return At(line, spec.Name, $"field \"{spec.Name}\" of operation \"{operation.Name}\": expected {expected}");
            }
        }
        return operation.OneOf.Count == 0 || operation.OneOf.Any(name => fields.TryGetProperty(name, out _)) ? null
            : At(line, null, $"operation \"{operation.Name}\" has none of the fields {string.Join(", ", operation.OneOf.Select(name => $"\"{name}\""))}; it needs one");
    }

    private TraceError? ReadHeader(ReadOnlyMemory<byte> line, JsonElement fields, out TraceHeader? header)
    {
        header = null;
        if (!fields.TryGetProperty("trace", out JsonElement trace) || trace.ValueKind != JsonValueKind.String || !trace.ValueEquals(Format))
            return At(line, "trace", $"expected a header with \"trace\":\"{Format}\"");
        if (!fields.TryGetProperty("host", out JsonElement host) || host.ValueKind != JsonValueKind.Object)
            return At(line, "host", "expected a field \"host\" that describes the machine");
        (FieldSpec Spec, JsonElement In)[] specs =
        [
            (new("about", FieldKind.Text, false), fields),
            (new("apmask", FieldKind.Text), fields),
            (new("aqmask", FieldKind.Text), fields),
            (new("apxa", FieldKind.Flag), host),
            (new("max_adapter", FieldKind.Number), host),
            (new("max_domain", FieldKind.Number), host),
            (new("adapters", FieldKind.IdList), host),
            (new("domains", FieldKind.IdList), host),
            (new("control_domains", FieldKind.IdList), host),
            (new("type", FieldKind.Text), host),
            (new("old_adapters", FieldKind.IdList, false), host),
            (new("pv", FieldKind.Flag, false), host),
            (new("pv_aiv", FieldKind.Flag, false), host),
            (new("pci", FieldKind.PciFunctions, false), host),
        ];
        foreach ((FieldSpec spec, JsonElement within) in specs)
        {
            if (!within.TryGetProperty(spec.Name, out JsonElement value))
            {
                if (spec.IsRequired)
                    return At(line, null, $"the header has no field \"{spec.Name}\", which it needs");
            }
            else if (OperationFields.Complaint(spec, value) is { } expected)
            {
                return At(line, spec.Name, $"field \"{spec.Name}\" of the header: expected {expected}");
            }
        }
        foreach (string limit in (ReadOnlySpan<string>)["max_adapter", "max_domain"])
        {
            if (host.Number(limit) >= ApMask.Size)
                return At(line, limit, $"field \"{limit}\" of the header: expected a number from 0 to 255");
        }
        Match hwType = HwTypePattern().Match(host.Text("type"));
        if (!hwType.Success || !byte.TryParse(hwType.Groups["type"].ValueSpan, CultureInfo.InvariantCulture, out byte type))
            return At(line, "type", "field \"type\" of the header: expected a text with \"hwtype N\", N from 0 to 255");
        header = new TraceHeader(
            fields.TryGetProperty("about", out JsonElement about) ? about.GetString()! : "",
            host.GetProperty("apxa").GetBoolean(), (int)host.Number("max_adapter"), (int)host.Number("max_domain"),
            host.Mask("adapters"), host.Mask("domains"), host.Mask("control_domains"), host.Text("type"), type,
            host.TryGetProperty("old_adapters", out _) ? host.Mask("old_adapters") : ApMask.None,
            fields.Text("apmask"), fields.Text("aqmask"))
        {
            HasSecureExecution = host.Flag("pv", otherwise: true),
            HasSecureAiv = host.Flag("pv_aiv", otherwise: true),
            PciFunctions = TracePci.Read(host),
        };
        return null;
    }

    private TraceError? Parse(ReadOnlyMemory<byte> line, out JsonDocument? document)
    {
        document = null;
        try
        {
            document = JsonDocument.Parse(line);
        }
        catch (JsonException problem)
        {
            return new TraceError(_file, _line, (int)(problem.BytePositionInLine ?? 0) + 1, "this is not JSON; expected one object {…} on the line");
        }
        if (document.RootElement.ValueKind == JsonValueKind.Object)
            return null;
        document.Dispose();
        return new TraceError(_file, _line, 1, "expected one JSON object {…} on the line");
    }

    // Column of a field's name, or the begin of the line if there is none.
    private TraceError At(ReadOnlyMemory<byte> line, string? field, string message)
    {
        int column = field is null ? -1 : line.Span.IndexOf(Encoding.UTF8.GetBytes($"\"{field}\":"));
        return new TraceError(_file, _line, Math.Max(column, 0) + 1, message);
    }

    // Empty lines are passed over.
    private bool TryNextLine(out ReadOnlyMemory<byte> line)
    {
        while (_at < _text.Length)
        {
            int end = _text.Span[_at..].IndexOf((byte)'\n');
            line = end < 0 ? _text[_at..] : _text.Slice(_at, end);
            _at += line.Length + 1;
            _line++;
            if (!line.Span.Trim(" \t\r"u8).IsEmpty)
                return true;
        }
        line = default;
        return false;
    }
}

using System.Text.Json;
using Apvirt.VfioPci.Pci;

namespace Apvirt.Host.Traces;

/// <summary>The PCI functions in the header of a trace: <c>"pci":[{"fid":260,"type":"roce","uid":4096,"vfio":true}]</c>.</summary>
internal static class TracePci
{
    private static readonly IReadOnlyList<FieldSpec> Fields =
    [
        new("fid", FieldKind.Number), new("type", FieldKind.Text), new("uid", FieldKind.Number, false),
        new("group", FieldKind.Text, false), new("util", FieldKind.Text, false), new("vfio", FieldKind.Flag, false),
    ];

    internal static string? Complaint(JsonElement value)
    {
        string types = string.Join(", ", PciFunctionType.All.Select(type => type.Name));
        bool isGood = value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(function =>
            function.ValueKind == JsonValueKind.Object
            && Fields.All(spec => function.TryGetProperty(spec.Name, out JsonElement field) ? OperationFields.Complaint(spec, field) is null : !spec.IsRequired)
            && function.Number("fid") <= uint.MaxValue && function.Number("uid") <= ushort.MaxValue
            && (!function.TryGetProperty("util", out JsonElement util) || util.GetString()!.Length <= PciFunctionSetup.UtilityMax)
            && PciFunctionType.Find(function.Text("type")) is not null);
        return isGood ? null : $"a list of functions such as {{\"fid\":260,\"type\":\"roce\"}}, type one of {types}, with uid, group, util (64 characters) and vfio if need be";
    }

    internal static IReadOnlyList<PciFunctionSetup> Read(JsonElement host) =>
        !host.TryGetProperty("pci", out JsonElement functions) ? [] :
        [
            .. functions.EnumerateArray().Select(function => new PciFunctionSetup((uint)function.Number("fid"), PciFunctionType.Find(function.Text("type"))!)
            {
                Uid = (int)function.Number("uid"),
                IommuGroup = function.TryGetProperty("group", out JsonElement group) ? group.GetString() : null,
                Utility = function.TryGetProperty("util", out JsonElement util) ? util.GetString() : null,
                IsForGuests = function.Flag("vfio", otherwise: false),
            }),
        ];

    internal static void Write(Utf8JsonWriter writer, IReadOnlyList<PciFunctionSetup> functions)
    {
        if (functions.Count == 0)
            return;
        writer.WriteStartArray("pci");
        foreach (PciFunctionSetup function in functions)
        {
            writer.WriteStartObject();
            writer.WriteNumber("fid", function.Fid);
            writer.WriteString("type", function.Type.Name);
            if (function.Uid != 0)
                writer.WriteNumber("uid", function.Uid);
            if (function.IommuGroup is not null)
                writer.WriteString("group", function.IommuGroup);
            if (function.Utility is not null)
                writer.WriteString("util", function.Utility);
            if (function.IsForGuests)
                writer.WriteBoolean("vfio", true);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }
}

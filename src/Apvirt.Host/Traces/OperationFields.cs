using System.Globalization;
using System.Text;
using System.Text.Json;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;
using Apvirt.Kernel;
using Apvirt.Host.Guests;
using Apvirt.Kvm.Interrupts;
using Apvirt.Kvm.Protection;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.Host.Traces;

/// <summary>What a field of an operation holds.</summary>
internal enum FieldKind
{
    Text,
    Flag,
    Number,
    IdList,
    CodeList,
    Apqn,
    NumberText,
    State,
    Instruction,
    ListName,
    UltravisorCall,
    ErrorName,
    TextList,
    PciStep,
    PciFunctions,
    SubclassList,
    VcpuCount,
    Suppression,
}

/// <summary>A field that an operation takes.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Kind">What it holds.</param>
/// <param name="IsRequired">Whether it must be there.</param>
internal sealed record FieldSpec(string Name, FieldKind Kind, bool IsRequired = true);

/// <summary>Checks fields against what an operation takes, and reads them once they are known to be right.</summary>
internal static class OperationFields
{
    internal static readonly IReadOnlyDictionary<string, ApResponse> States = new Dictionary<string, ApResponse>(StringComparer.Ordinal)
    {
        ["normal"] = ApResponse.Normal,
        ["deconfigured"] = ApResponse.Deconfigured,
        ["checkstopped"] = ApResponse.Checkstopped,
    };

    internal static readonly IReadOnlyDictionary<string, ApInstruction> Instructions = new Dictionary<string, ApInstruction>(StringComparer.Ordinal)
    {
        ["zapq"] = ApInstruction.Zapq,
        ["tapq"] = ApInstruction.Tapq,
        ["aqic"] = ApInstruction.Aqic,
    };

    internal static readonly IReadOnlyDictionary<string, UltravisorCall> UltravisorCalls = new Dictionary<string, UltravisorCall>(StringComparer.Ordinal)
    {
        ["create_vm"] = UltravisorCall.CreateVm,
        ["create_cpu"] = UltravisorCall.CreateCpu,
        ["destroy_cpu"] = UltravisorCall.DestroyCpu,
    };

    internal static readonly IReadOnlyDictionary<string, PvCommand> PvCommands = new Dictionary<string, PvCommand>(StringComparer.Ordinal)
    {
        ["enable"] = PvCommand.Enable,
        ["disable"] = PvCommand.Disable,
        ["async_prepare"] = PvCommand.AsyncPrepare,
        ["async_perform"] = PvCommand.AsyncPerform,
        ["set_sec_parms"] = PvCommand.SetSecParms,
        ["unpack"] = PvCommand.Unpack,
        ["verify"] = PvCommand.Verify,
        ["prep_reset"] = PvCommand.PrepReset,
        ["unshare_all"] = PvCommand.UnshareAll,
        ["dump"] = PvCommand.Dump,
    };

    internal static readonly IReadOnlyDictionary<string, ZpciStep> PciSteps = new Dictionary<string, ZpciStep>(StringComparer.Ordinal)
    {
        ["enable"] = ZpciStep.Enable,
        ["disable"] = ZpciStep.Disable,
        ["register_translation"] = ZpciStep.RegisterTranslation,
        ["allocate"] = ZpciStep.Allocate,
        ["configure"] = ZpciStep.Configure,
        ["allocate_bit"] = ZpciStep.AllocateBit,
        ["allocate_vector"] = ZpciStep.AllocateVector,
        ["register_interrupts"] = ZpciStep.RegisterInterrupts,
        ["deregister_interrupts"] = ZpciStep.DeregisterInterrupts,
    };

    internal static readonly IReadOnlyDictionary<string, SuppressionMode> SuppressionModes = new Dictionary<string, SuppressionMode>(StringComparer.Ordinal)
    {
        ["all"] = SuppressionMode.All,
        ["single"] = SuppressionMode.Single,
    };

    internal static readonly IReadOnlyList<string> ListNames = ["queues", "vfio_ap", "cex4queue", "unbound", "mdevs"];

    /// <summary>Says what is wrong with a value, null if nothing is.</summary>
    internal static string? Complaint(FieldSpec spec, JsonElement value) => spec.Kind switch
    {
        FieldKind.Text => value.ValueKind == JsonValueKind.String ? null : "a text",
        FieldKind.Flag => value.ValueKind is JsonValueKind.True or JsonValueKind.False ? null : "true or false",
        FieldKind.Number => value.ValueKind == JsonValueKind.Number && value.TryGetUInt64(out _) ? null : "a whole number, 0 or above",
        FieldKind.IdList => IsListBelow(value, ApMask.Size) ? null : "a list of ids from 0 to 255",
        FieldKind.CodeList => IsListBelow(value, 256) ? null : "a list of response codes from 0 to 255",
        FieldKind.Apqn => IsText(value, text => Ap.Architecture.Apqn.TryParse(text, out _)) ? null : "a queue as \"xx.yyyy\", hexadecimal",
        FieldKind.NumberText => IsText(value, text => TryParseNumber(text, out _)) ? null : "a number as a text, such as \"0x2000\"",
        FieldKind.State => IsText(value, States.ContainsKey) ? null : "one of " + string.Join(", ", States.Keys),
        FieldKind.Instruction => IsText(value, Instructions.ContainsKey) ? null : "one of " + string.Join(", ", Instructions.Keys),
        FieldKind.UltravisorCall => IsText(value, UltravisorCalls.ContainsKey) ? null : "one of " + string.Join(", ", UltravisorCalls.Keys),
        FieldKind.ErrorName => IsText(value, text => Enum.TryParse(text, out Errno error) && Enum.IsDefined(error)) ? null : "the name of an error, such as \"EIO\"",
        FieldKind.TextList => value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String) ? null : "a list of texts",
        FieldKind.PciStep => IsText(value, PciSteps.ContainsKey) ? null : "one of " + string.Join(", ", PciSteps.Keys),
        FieldKind.SubclassList => IsListBelow(value, Gisa.SubclassCount) ? null : "a list of guest subclasses from 0 to 7",
        FieldKind.VcpuCount => value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int vcpus) && vcpus is >= 1 and <= 255 ? null : "a number of vCPUs from 1 to 255",
        FieldKind.Suppression => IsText(value, SuppressionModes.ContainsKey) ? null : "one of " + string.Join(", ", SuppressionModes.Keys),
        FieldKind.PciFunctions => TracePci.Complaint(value),
        FieldKind.ListName => IsText(value, ListNames.Contains) ? null : "one of " + string.Join(", ", ListNames),
        _ => throw new ArgumentOutOfRangeException(nameof(spec)),
    };

    internal static string Text(this JsonElement operation, string name) => operation.GetProperty(name).GetString()!;

    /// <summary>The device that an operation names: <c>mdev</c> as recordings have it, or <c>device</c>.</summary>
    internal static string? Device(this JsonElement operation) =>
        operation.TryGetProperty("mdev", out JsonElement mdev) || operation.TryGetProperty("device", out mdev) ? mdev.GetString() : null;

    /// <summary>The vCPU that an operation is of, the first unless it says otherwise; null if the guest has no such.</summary>
    internal static int? Vcpu(this JsonElement operation, GuestProcess guest) =>
        operation.Number("vcpu") is var vcpu && vcpu < (ulong)guest.Machine.Vcpus.Count ? (int)vcpu : null;

    internal static IEnumerable<string> Texts(this JsonElement operation, string name) =>
        operation.TryGetProperty(name, out JsonElement list) ? list.EnumerateArray().Select(item => item.GetString()!) : [];

    internal static bool Flag(this JsonElement operation, string name, bool otherwise) =>
        operation.TryGetProperty(name, out JsonElement value) ? value.GetBoolean() : otherwise;

    internal static ulong Number(this JsonElement operation, string name, ulong otherwise = 0) =>
        operation.TryGetProperty(name, out JsonElement value) ? value.GetUInt64() : otherwise;

    internal static Apqn Apqn(this JsonElement operation, string name) =>
        Ap.Architecture.Apqn.TryParse(operation.Text(name), out Apqn apqn) ? apqn : default;

    internal static ApMask Mask(this JsonElement operation, string name) =>
        ApMask.Of(operation.GetProperty(name).EnumerateArray().Select(id => id.GetInt32()));

    internal static ulong NumberText(this JsonElement operation, string name) =>
        TryParseNumber(operation.Text(name), out ulong value) ? value : 0;

    internal static byte[] Bytes(this JsonElement operation, string name) => Encoding.UTF8.GetBytes(operation.Text(name));

    // A number as C writes it: 0x… hexadecimal, 0… octal, else decimal.
    private static bool TryParseNumber(string text, out ulong value)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        return Devices.Sysfs.SysfsNumber.ParseUnsigned(bytes, out value) == Kernel.Errno.Ok;
    }

    private static bool IsText(JsonElement value, Func<string, bool> isGood) =>
        value.ValueKind == JsonValueKind.String && isGood(value.GetString()!);

    private static bool IsListBelow(JsonElement value, int bound) =>
        value.ValueKind == JsonValueKind.Array
        && value.EnumerateArray().All(item => item.ValueKind == JsonValueKind.Number && item.TryGetInt32(out int id) && id >= 0 && id < bound);
}

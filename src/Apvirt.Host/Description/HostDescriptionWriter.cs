using System.Globalization;
using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;
using Apvirt.VfioPci.Pci;

namespace Apvirt.Host.Description;

/// <summary>Writes a description in one canonical form; what has its default value is left out.</summary>
public static class HostDescriptionWriter
{
    /// <summary>The YAML text.</summary>
    /// <param name="host">The description.</param>
    public static string Write(HostDescription host)
    {
        StringBuilder text = new();
        WriteMachine(text, host.Machine);
        text.Append("adapters:\n");
        foreach (AdapterDescription adapter in host.Adapters)
            WriteAdapter(text, adapter);
        if (host.Adapters.Count == 0)
            text.Insert(text.Length - 1, " []");
        text.Append("domains: ").Append(Ids(host.Domains, 4)).Append('\n');
        if (host.ControlDomains != host.Domains)
            text.Append("control_domains: ").Append(Ids(host.ControlDomains, 4)).Append('\n');
        WriteText(text, "", "apmask", host.ApMaskText);
        WriteText(text, "", "aqmask", host.AqMaskText);
        WriteItems(text, "mdevs", host.Mdevs, WriteMdev);
        WriteItems(text, "pci", host.PciFunctions, WriteFunction);
        WriteItems(text, "vgpus", host.Vgpus, WriteVgpu);
        WriteItems(text, "guests", host.Guests, WriteGuest);
        return text.ToString();
    }

    private static void WriteMachine(StringBuilder text, MachineDescription machine)
    {
        MachineDescription usual = new();
        List<string> lines = [];
        AddIf(lines, machine.Profile != usual.Profile, $"profile: {machine.Profile}");
        AddIf(lines, machine.Apxa != usual.Apxa, "apxa: false");
        AddIf(lines, machine.Qci != usual.Qci, "qci: false");
        AddIf(lines, machine.MaxAdapter != usual.MaxAdapter, $"max_adapter: {machine.MaxAdapter}");
        AddIf(lines, machine.MaxDomain != usual.MaxDomain, $"max_domain: {machine.MaxDomain}");
        AddIf(lines, machine.Interrupts != usual.Interrupts, "interrupts: false");
        AddIf(lines, machine.Zvm != usual.Zvm, "zvm: true");
        AddIf(lines, machine.DefaultDomain != usual.DefaultDomain, $"default_domain: {machine.DefaultDomain}");
        AddIf(lines, machine.ConfigTime != usual.ConfigTime, $"config_time: {machine.ConfigTime}");
        if (lines.Count == 0)
            return;
        text.Append("machine:\n");
        foreach (string line in lines)
            text.Append("  ").Append(line).Append('\n');
    }

    private static void WriteAdapter(StringBuilder text, AdapterDescription adapter)
    {
        AdapterType type = adapter.Type;
        bool isNamed = AdapterType.TryParse(type.ToString(), out AdapterType? usual);
        usual ??= new AdapterType(type.HwType, AdapterType.CcaFunctions);
        text.Append("  - id: ").Append(Ids(adapter.Ids, 2)).Append('\n');
        text.Append("    ").Append(isNamed ? $"type: {type}" : $"hwtype: {type.HwType}").Append('\n');
        if (type.Functions != usual.Functions)
            text.Append("    functions: 0x").Append(type.Functions.ToString("x8", CultureInfo.InvariantCulture)).Append('\n');
        if (type.Depth != usual.Depth)
            text.Append(CultureInfo.InvariantCulture, $"    depth: {type.Depth}\n");
        if (type.MaxMessageBytes != usual.MaxMessageBytes)
            text.Append(CultureInfo.InvariantCulture, $"    max_message: {type.MaxMessageBytes}\n");
        WriteText(text, "    ", "serial", type.Serial.Length > 0 ? type.Serial : null);
        if (!adapter.Configured)
            text.Append("    configured: false\n");
        if (adapter.Checkstopped)
            text.Append("    checkstopped: true\n");
    }

    private static void WriteMdev(StringBuilder text, MdevDescription mdev)
    {
        text.Append("  - uuid: ").Append(mdev.Uuid).Append('\n');
        WriteText(text, "    ", "alias", mdev.Alias);
        if (!mdev.Adapters.IsEmpty)
            text.Append("    adapters: ").Append(Ids(mdev.Adapters, 2)).Append('\n');
        if (!mdev.Domains.IsEmpty)
            text.Append("    domains: ").Append(Ids(mdev.Domains, 4)).Append('\n');
        if (!mdev.ControlDomains.IsEmpty)
            text.Append("    control_domains: ").Append(Ids(mdev.ControlDomains, 4)).Append('\n');
    }

    private static void WriteFunction(StringBuilder text, PciFunctionSetup function)
    {
        PciFunctionSetup usual = new(function.Fid, function.Type);
        text.Append(CultureInfo.InvariantCulture, $"  - fid: 0x{function.Fid:x}\n    type: {function.Type.Name}\n");
        foreach ((string key, int value, int otherwise) in (ReadOnlySpan<(string, int, int)>)
            [
                ("uid", function.Uid, usual.Uid), ("pchid", function.Pchid, usual.Pchid), ("vfn", function.Vfn, usual.Vfn),
                ("pfgid", function.Pfgid, usual.Pfgid), ("port", function.Port, usual.Port), ("interrupts", function.InterruptsMax, usual.InterruptsMax),
            ])
        {
            if (value != otherwise)
                text.Append(CultureInfo.InvariantCulture, $"    {key}: {(key is "uid" or "pchid" ? "0x" + value.ToString("x", CultureInfo.InvariantCulture) : value)}\n");
        }
        WriteText(text, "    ", "iommu_group", function.IommuGroup);
        WriteText(text, "    ", "util", function.Utility);
        if (function.IsForGuests)
            text.Append("    driver: vfio-pci\n");
    }

    private static void WriteVgpu(StringBuilder text, VgpuDescription vgpu)
    {
        text.Append("  - uuid: ").Append(vgpu.Uuid).Append('\n');
        WriteText(text, "    ", "alias", vgpu.Alias);
        WriteText(text, "    ", "adapter", vgpu.Adapter);
    }

    private static void WriteGuest(StringBuilder text, GuestDescription guest)
    {
        GuestDescription usual = new() { Name = guest.Name };
        text.Append("  - name: ").Append(Quote(guest.Name)).Append('\n');
        if (guest.Devices.Count > 0)
            text.Append("    devices: [").AppendJoin(", ", guest.Devices.Select(Quote)).Append("]\n");
        if (guest.MemoryBytes != usual.MemoryBytes)
            text.Append(CultureInfo.InvariantCulture, $"    memory: {guest.MemoryBytes}\n");
        if (guest.Vcpus != usual.Vcpus)
            text.Append(CultureInfo.InvariantCulture, $"    vcpus: {guest.Vcpus}\n");
        foreach ((string key, bool value, bool otherwise) in (ReadOnlySpan<(string, bool, bool)>)
            [
                ("ap", guest.Ap, usual.Ap), ("gisa", guest.Gisa, usual.Gisa), ("protected", guest.Protected, usual.Protected),
                ("req_irq", guest.RegistersRequest, usual.RegistersRequest), ("start", guest.Start, usual.Start),
            ])
        {
            if (value != otherwise)
                text.Append("    ").Append(key).Append(": ").Append(value ? "true" : "false").Append('\n');
        }
    }

    private static void WriteItems<T>(StringBuilder text, string key, IReadOnlyList<T> items, Action<StringBuilder, T> write)
    {
        if (items.Count == 0)
            return;
        text.Append(key).Append(":\n");
        foreach (T item in items)
            write(text, item);
    }

    private static void WriteText(StringBuilder text, string indent, string key, string? value)
    {
        if (value is not null)
            text.Append(indent).Append(key).Append(": ").Append(Quote(value)).Append('\n');
    }

    private static void AddIf(List<string> lines, bool condition, string line)
    {
        if (condition)
            lines.Add(line);
    }

    private static string Ids(ApMask ids, int digits) => $"[{string.Join(", ", IdList.Format(ids, digits))}]";

    private static string Quote(string value) =>
        value.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.') && value.Any(char.IsAsciiLetter)
            ? value
            : $"\"{value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";
}

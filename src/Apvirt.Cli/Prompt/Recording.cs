using System.Text.Json.Nodes;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;
using Apvirt.Host.Description;
using Apvirt.Host.Machines;
using Apvirt.Host.Traces;

namespace Apvirt.Cli.Prompt;

/// <summary>Begins a recording so that it replays by itself: the machine as a header, what the description set up as operations.</summary>
internal static class Recording
{
    internal static void Begin(StreamWriter recording, string path, HostSource source, VirtualHost host)
    {
        recording.WriteLine(TraceWriter.Format(source.Trace ?? Describe(path, source, host)));
        foreach (MdevDescription mdev in source.Description?.Mdevs ?? [])
        {
            string matrix = host.VfioAp.Matrix.Path;
            Write(recording, new JsonObject
            {
                ["op"] = "write",
                ["path"] = $"{matrix}/mdev_supported_types/vfio_ap-passthrough/create",
                ["data"] = mdev.Uuid,
            });
            Write(recording, new JsonObject
            {
                ["op"] = "write",
                ["path"] = $"{matrix}/{mdev.Uuid}/ap_config",
                ["data"] = $"{mdev.Adapters},{mdev.Domains},{mdev.ControlDomains}\n",
            });
        }
        foreach (VgpuDescription vgpu in source.Description?.Vgpus ?? [])
        {
            Write(recording, new JsonObject
            {
                ["op"] = "write",
                ["path"] = $"/sys/bus/pci/devices/{vgpu.Adapter}/mdev_supported_types/i915-GVTg_V5_4/create",
                ["data"] = vgpu.Uuid,
            });
        }
        foreach (GuestDescription guest in source.Description?.Guests.Where(g => g.Start && g.Devices.Count > 0) ?? [])
        {
            Write(recording, new JsonObject
            {
                ["op"] = "guest.start",
                ["guest"] = guest.Name,
                ["devices"] = new JsonArray([.. guest.Devices.Select(device => JsonValue.Create(device))]),
                ["req_irq"] = guest.RegistersRequest,
                ["ap"] = guest.Ap,
                ["gisa"] = guest.Gisa,
                ["protected"] = guest.Protected,
                ["mem"] = guest.MemoryBytes,
            });
        }
        recording.Flush();
    }

    private static void Write(StreamWriter recording, JsonObject operation) =>
        recording.WriteLine(System.Text.Encoding.UTF8.GetString(PromptCommands.ToLine(operation)));

    // The format has one type for all adapters; adapters below CEX4 are its old ones.
    private static TraceHeader Describe(string path, HostSource source, VirtualHost host)
    {
        QciInfo info = source.Setup.Configuration;
        AdapterType type = source.Setup.Adapters.Values.FirstOrDefault(t => t.HwType >= ApQueueInfo.OldestSupportedType)
            ?? new AdapterType(14, AdapterType.CcaFunctions);
        return new TraceHeader(
            $"recorded from {Path.GetFileName(path)}", info.HasApxa, info.MaxAdapter, info.MaxDomain, info.Apm, info.Aqm, info.Adm,
            $"{type} (hwtype {type.HwType})", type.HwType,
            ApMask.Of(source.Setup.Adapters.Where(a => a.Value.HwType < ApQueueInfo.OldestSupportedType).Select(a => a.Key)),
            source.Setup.Bus.ApMaskParameter ?? ApMask.All.ToString(), source.Setup.Bus.AqMaskParameter ?? ApMask.All.ToString())
        {
            HasSecureExecution = source.Setup.HasSecureExecution,
            HasSecureAiv = source.Setup.HasSecureAiv,
            PciFunctions = source.Setup.PciFunctions,
        };
    }
}

using System.Text;
using Apvirt.Host.Description;
using Apvirt.Host.Machines;
using Apvirt.Host.Traces;

namespace Apvirt.Cli;

/// <summary>Where a host comes from: a description in YAML, or the header of a trace.</summary>
internal sealed class HostSource
{
    private HostSource(MachineSetup setup, HostDescription? description, TraceHeader? trace)
    {
        Setup = setup;
        Description = description;
        Trace = trace;
    }

    internal MachineSetup Setup { get; }

    internal HostDescription? Description { get; }

    internal TraceHeader? Trace { get; }

    /// <summary>Aliases of mediated devices by UUID.</summary>
    internal Dictionary<string, string> Aliases =>
        (Description?.Mdevs.Select(mdev => (mdev.Uuid, mdev.Alias)) ?? [])
            .Concat(Description?.Vgpus.Select(vgpu => (vgpu.Uuid, vgpu.Alias)) ?? [])
            .Where(device => device.Alias is not null)
            .ToDictionary(device => device.Uuid, device => device.Alias!, StringComparer.Ordinal);

    /// <summary>A small host, for who just wants to look: the two adapters and four domains of the kernel's documentation.</summary>
    internal static HostSource Small()
    {
        const string small = """
            adapters:
              - id: 5
                type: CEX8C
                serial: 93AABEET
              - id: 6
                type: CEX8A
            domains: [0x0004, 0x0047, 0x00ab, 0x00ff]
            """;
        _ = HostDescriptionReader.Read("small", small, out HostDescription? description);
        return new HostSource(DescribedHost.ToSetup(description!), description, trace: null);
    }

    /// <summary>Reads a source; says on the error output what is wrong with it.</summary>
    internal static HostSource? Read(string path, CommandIo io)
    {
        if (!InputFile.TryRead(path, io, out byte[] text))
            return null;
        if (path.EndsWith(".jsonl", StringComparison.Ordinal))
        {
            if (new TraceReader(path, text).ReadHeader(out TraceHeader? header) is not { } error)
                return new HostSource(header!.ToSetup(), description: null, header);
            io.Error.WriteLine(error);
            return null;
        }
        IReadOnlyList<DescriptionError> errors = HostDescriptionReader.Read(path, Encoding.UTF8.GetString(text), out HostDescription? description);
        foreach (DescriptionError error in errors)
            io.Error.WriteLine(error);
        return errors.Count > 0 ? null : new HostSource(DescribedHost.ToSetup(description!), description, trace: null);
    }
}

using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;
using Apvirt.VfioPci.Pci;

namespace Apvirt.Host.Description;

/// <summary>A host as a file describes it: hardware, boot parameters, mediated devices, guests. Pure data.</summary>
public sealed record HostDescription
{
    /// <summary>The machine.</summary>
    public MachineDescription Machine { get; init; } = new();

    /// <summary>The adapters, ascending by their first id.</summary>
    public IReadOnlyList<AdapterDescription> Adapters { get; init; } = [];

    /// <summary>Usage domains.</summary>
    public ApMask Domains { get; init; }

    /// <summary>Control domains; the usage domains unless the file says otherwise.</summary>
    public ApMask ControlDomains { get; init; }

    /// <summary>apmask boot parameter, null if not given.</summary>
    public string? ApMaskText { get; init; }

    /// <summary>aqmask boot parameter, null if not given.</summary>
    public string? AqMaskText { get; init; }

    /// <summary>The PCI functions, in the order in which the firmware lists them.</summary>
    public IReadOnlyList<PciFunctionSetup> PciFunctions { get; init; } = [];

    /// <summary>The vGPUs, in the order of their creation.</summary>
    public IReadOnlyList<VgpuDescription> Vgpus { get; init; } = [];

    /// <summary>The mediated devices, in the order of their creation.</summary>
    public IReadOnlyList<MdevDescription> Mdevs { get; init; } = [];

    /// <summary>The guests, in the order of their start.</summary>
    public IReadOnlyList<GuestDescription> Guests { get; init; } = [];
}

/// <summary>What of the machine is not an adapter.</summary>
public sealed record MachineDescription
{
    /// <summary>Name of the profile: whose quirks the host has.</summary>
    public string Profile { get; init; } = Ap.Profiles.Profile.Linux612.Name;

    /// <summary>Extended addressing.</summary>
    public bool Apxa { get; init; } = true;

    /// <summary>PQAP(QCI) is installed.</summary>
    public bool Qci { get; init; } = true;

    /// <summary>Highest adapter id, 0 to 255.</summary>
    public int MaxAdapter { get; init; } = 255;

    /// <summary>Highest domain id, 0 to 255.</summary>
    public int MaxDomain { get; init; } = 255;

    /// <summary>Adapter interrupts are used.</summary>
    public bool Interrupts { get; init; } = true;

    /// <summary>Runs under z/VM, which makes the poll timeout longer.</summary>
    public bool Zvm { get; init; }

    /// <summary>Default usage domain, -1 to let the bus choose.</summary>
    public int DefaultDomain { get; init; } = -1;

    /// <summary>Seconds between scans, 5 to 120.</summary>
    public int ConfigTime { get; init; } = 30;
}

/// <summary>Adapters of one kind.</summary>
/// <param name="Ids">Their ids.</param>
/// <param name="Type">Their kind.</param>
/// <param name="Configured">Configured on.</param>
/// <param name="Checkstopped">Checkstopped.</param>
public sealed record AdapterDescription(ApMask Ids, AdapterType Type, bool Configured = true, bool Checkstopped = false);

/// <summary>A mediated device and what is assigned to it.</summary>
/// <param name="Uuid">Its name, lower case.</param>
/// <param name="Alias">A shorter name for use in files and at the prompt, null if none.</param>
/// <param name="Adapters">Adapters.</param>
/// <param name="Domains">Usage domains.</param>
/// <param name="ControlDomains">Control domains.</param>
public sealed record MdevDescription(string Uuid, string? Alias, ApMask Adapters, ApMask Domains, ApMask ControlDomains);

/// <summary>A vGPU.</summary>
/// <param name="Uuid">Its name, lower case.</param>
/// <param name="Alias">A shorter name for use in files and at the prompt, null if none.</param>
/// <param name="Adapter">Address of the graphics adapter that it is a part of.</param>
public sealed record VgpuDescription(string Uuid, string? Alias, string Adapter);

/// <summary>A guest.</summary>
public sealed record GuestDescription
{
    /// <summary>Name of the guest.</summary>
    public required string Name { get; init; }

    /// <summary>Its devices in the order in which it opens them: UUIDs of AP mdevs and vGPUs, addresses of PCI functions.</summary>
    public IReadOnlyList<string> Devices { get; init; } = [];

    /// <summary>Bytes of memory.</summary>
    public ulong MemoryBytes { get; init; } = 4UL << 30;

    /// <summary>Number of vCPUs, 1 to 255.</summary>
    public int Vcpus { get; init; } = 1;

    /// <summary>AP facilities.</summary>
    public bool Ap { get; init; } = true;

    /// <summary>A GISA.</summary>
    public bool Gisa { get; init; } = true;

    /// <summary>Secure execution.</summary>
    public bool Protected { get; init; }

    /// <summary>User space registers the device-request eventfd.</summary>
    public bool RegistersRequest { get; init; } = true;

    /// <summary>Whether the guest is started with the host.</summary>
    public bool Start { get; init; } = true;
}

/// <summary>What is wrong with a description, and where.</summary>
/// <param name="File">Name of the file.</param>
/// <param name="Line">Line, from 1.</param>
/// <param name="Column">Column, from 1.</param>
/// <param name="Message">What is wrong and what was expected.</param>
public sealed record DescriptionError(string File, int Line, int Column, string Message)
{
    /// <summary>The error in one line, as compilers print errors.</summary>
    public override string ToString() => $"{File}:{Line}:{Column}: {Message}";
}

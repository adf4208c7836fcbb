using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Ap.Profiles;
using Apvirt.VfioPci.Pci;

namespace Apvirt.Host.Machines;

/// <summary>What a host is made of: the hardware below it and the parameters it boots with.</summary>
public sealed record MachineSetup
{
    /// <summary>What QCI answers at boot.</summary>
    public required QciInfo Configuration { get; init; }

    /// <summary>The adapters that are plugged in, by id; those outside the configuration wait to be added to it.</summary>
    public required IReadOnlyDictionary<int, AdapterType> Adapters { get; init; }

    /// <summary>Whether the machine has PQAP(QCI).</summary>
    public bool HasQci { get; init; } = true;

    /// <summary>Adapters that are configured off at boot.</summary>
    public ApMask Deconfigured { get; init; }

    /// <summary>Adapters that are checkstopped at boot.</summary>
    public ApMask Checkstopped { get; init; }

    /// <summary>Whether guests can be secure.</summary>
    public bool HasSecureExecution { get; init; } = true;

    /// <summary>Whether adapter interrupts of secure guests are virtualised.</summary>
    public bool HasSecureAiv { get; init; } = true;

    /// <summary>The PCI functions that are plugged in, in the order of their numbers.</summary>
    public IReadOnlyList<PciFunctionSetup> PciFunctions { get; init; } = [];

    /// <summary>Whether the machine can interpret a guest's PCI instructions.</summary>
    public bool CanInterpretPci { get; init; } = true;

    /// <summary>Whether the kernel is built with KVM's support for zPCI; without, PCI functions are passed through and not interpreted (M112).</summary>
    public bool HasZpciKvm { get; init; } = true;

    /// <summary>Boot parameters of the AP bus.</summary>
    public ApBusOptions Bus { get; init; } = new();

    /// <summary>Which quirks the host has.</summary>
    public Profile Profile { get; init; } = Profile.Linux612;
}

using Apvirt.Kvm.Protection;

namespace Apvirt.Kvm.Machines;

/// <summary>What a VM is made with.</summary>
public sealed record VirtualMachineOptions
{
    /// <summary>Bytes of guest memory, from address 0 on.</summary>
    public ulong MemoryBytes { get; init; } = 4UL << 30;

    /// <summary>Number of vCPUs, at least 1.</summary>
    public int VcpuCount { get; init; } = 1;

    /// <summary>Whether the guest has AP facilities; without them it has no crypto control block.</summary>
    public bool HasAp { get; init; } = true;

    /// <summary>
    /// Whether AP instructions are interpreted (ECA.APIE). The recordings show that this does not depend on
    /// <see cref="HasAp"/>: a guest without a control block gets as far as the missing hook.
    /// </summary>
    public bool IsInterpretingAp { get; init; } = true;

    /// <summary>Facility 76 (MSAX3); without it the control block has format 0.</summary>
    public bool HasFacility76 { get; init; } = true;

    /// <summary>Facility 15 (APFT): TAPQ tells about a queue.</summary>
    public bool HasFacility15 { get; init; } = true;

    /// <summary>Facility 65 (AQIC): queues can interrupt the guest.</summary>
    public bool HasFacility65 { get; init; } = true;

    /// <summary>Whether the VM has a GISA.</summary>
    public bool HasGisa { get; init; } = true;

    /// <summary>What the hardware is told of the GISA, not 0; each VM has its own.</summary>
    public uint GisaDesignation { get; init; } = 0x2000;

    /// <summary>Guest pages that PCI functions may keep in place: the memlock limit of the process.</summary>
    public int LockedPagesMax { get; init; } = int.MaxValue;

    /// <summary>Whether adapter interrupts are virtualised (AIV).</summary>
    public bool HasAiv { get; init; } = true;

    /// <summary>Whether user space makes the guest a secure one when it starts.</summary>
    public bool IsProtected { get; init; }

    /// <summary>The machine's ultravisor; null if it has none, and no guest can be secure.</summary>
    public Ultravisor? Ultravisor { get; init; }
}

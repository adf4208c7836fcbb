using System.Collections.Immutable;
using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Vfio.Memory;

/// <summary>Where the guest pages are that an emulated device pins: the mappings of a container, or of an IOAS (vfio.md §7).</summary>
public abstract class DmaSpace
{
    private protected DmaSpace(LockClass lockClass) => Lock = new KernelMutex(lockClass, owner: this);

    /// <summary>Guards the mappings and the pins in them.</summary>
    internal KernelMutex Lock { get; }

    /// <summary>What is mapped, for observers.</summary>
    public abstract IReadOnlyList<Mapping> Mappings { get; }

    /// <summary>The memory that is mapped; null if it is that of nobody, where nothing can be copied. Called under <see cref="Lock"/>.</summary>
    /// <param name="task">The task.</param>
    internal abstract UserMemory? ReadMemory(KernelTask task);

    /// <summary>The most pages that can be pinned at once.</summary>
    internal virtual int PinsMax => int.MaxValue;

    /// <summary>Whether a page can be pinned. Called under <see cref="Lock"/>.</summary>
    /// <param name="task">The pinning task.</param>
    /// <param name="iova">An address in the page.</param>
    /// <param name="protection">What the device does with it.</param>
    internal abstract ValueTask<Errno> CheckPinAsync(KernelTask task, ulong iova, MapProtection protection);

    /// <summary>The mapping that has an address; null for a hole. Called under <see cref="Lock"/>.</summary>
    /// <param name="task">The task.</param>
    /// <param name="iova">The address.</param>
    internal abstract ValueTask<Mapping?> FindAsync(KernelTask task, ulong iova);
}

/// <summary>Whether a device may write where it reads.</summary>
[Flags]
public enum MapProtection
{
    /// <summary>Neither; no mapping has this.</summary>
    None = 0,
    /// <summary>It may read.</summary>
    Read = 1,
    /// <summary>It may write.</summary>
    Write = 2,
}

/// <summary>A range of addresses that user space has mapped.</summary>
/// <param name="Iova">First address.</param>
/// <param name="Length">Number of bytes.</param>
/// <param name="Protection">What a device may do.</param>
/// <param name="Address">Where the process has the memory; null while it has said that this is no more valid.</param>
public sealed record Mapping(ulong Iova, ulong Length, MapProtection Protection, ulong? Address)
{
    private const ulong PageMask = 0xfff;

    /// <summary>Last address.</summary>
    public ulong Last => Iova + Length - 1;

    /// <summary>Whether it has an address.</summary>
    /// <param name="iova">The address.</param>
    public bool Has(ulong iova) => iova >= Iova && iova - Iova < Length;

    /// <summary>Whether a range is one: whole pages, at least one, below the end of all addresses.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="length">Number of bytes.</param>
    public static bool IsRange(ulong iova, ulong length) => length != 0 && ((iova | length) & PageMask) == 0 && iova + (length - 1) >= iova;

    /// <summary>Puts the mapping with others.</summary>
    /// <param name="mappings">The others.</param>
    /// <returns>EEXIST if it shares an address with one.</returns>
    internal Errno AddTo(ref ImmutableArray<Mapping> mappings)
    {
        if (mappings.Any(mapping => mapping.Meets(Iova, Length)))
            return Errno.EEXIST;
        mappings = mappings.Add(this);
        return Errno.Ok;
    }

    /// <summary>Whether it shares an address with a range.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="length">Number of bytes, not 0.</param>
    public bool Meets(ulong iova, ulong length) => Iova <= iova + (length - 1) && iova <= Last;
}

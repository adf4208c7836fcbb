namespace Apvirt.VfioPci.Zpci;

/// <summary>The capabilities that VFIO_DEVICE_GET_INFO has for a function of zPCI (zpci.md §7): BASE and GROUP in version 2, UTIL if there is one, and PFIP.</summary>
/// <param name="Handle">BASE: the handle, which user space passes to KVM_S390_ZPCI_OP.</param>
/// <param name="DmaFirst">BASE: first address of DMA.</param>
/// <param name="DmaLast">BASE: last address of DMA.</param>
/// <param name="Pchid">BASE: physical channel.</param>
/// <param name="Vfn">BASE: virtual function.</param>
/// <param name="FunctionType">BASE: type of the function.</param>
/// <param name="Pfgid">BASE: group of functions alike.</param>
/// <param name="InterruptsMax">GROUP: the most interrupts.</param>
/// <param name="InternalPath">PFIP: four segments, the first in the highest byte.</param>
/// <param name="Utility">UTIL: what the maker of the adapter says of the function; null if nothing, and there is no such capability.</param>
public readonly record struct ZpciCapabilities(
    uint Handle, ulong DmaFirst, ulong DmaLast, ushort Pchid, ushort Vfn, byte FunctionType, byte Pfgid, int InterruptsMax, uint InternalPath, string? Utility);

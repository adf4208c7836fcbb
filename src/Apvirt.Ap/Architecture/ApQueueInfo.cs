namespace Apvirt.Ap.Architecture;

/// <summary>What TAPQ with the T bit tells about a queue (GR2, ap-bus.md §2).</summary>
/// <param name="Functions">Facility word: bit 0 is the leftmost.</param>
/// <param name="Type">AP type: 10 is CEX4, 14 is CEX8.</param>
/// <param name="Depth">Queue depth less one, as the hardware gives it.</param>
/// <param name="MessageLimit">Largest message in units of 4096 bytes, 0 meaning 12288 bytes.</param>
public readonly record struct ApQueueInfo(uint Functions, byte Type, byte Depth, byte MessageLimit)
{
    /// <summary>Facility bit 3: CCA coprocessor.</summary>
    public const uint CcaBit = 0x10000000;

    /// <summary>Facility bit 4: accelerator.</summary>
    public const uint AcceleratorBit = 0x08000000;

    /// <summary>Facility bit 5: EP11 coprocessor.</summary>
    public const uint Ep11Bit = 0x04000000;

    /// <summary>Oldest type that has drivers (CEX4).</summary>
    public const int OldestSupportedType = 10;

    /// <summary>Newest type that the drivers know (CEX8).</summary>
    public const int NewestKnownType = 14;

    /// <summary>Largest message in bytes.</summary>
    public int MaxMessageBytes => MessageLimit > 0 ? MessageLimit * 4096 : 12288;

    /// <summary>What the adapter is used as; accelerator goes before CCA before EP11 (ap-bus.md §2).</summary>
    public ApMode Mode =>
        (Functions & AcceleratorBit) != 0 ? ApMode.Accelerator
        : (Functions & CcaBit) != 0 ? ApMode.Cca
        : (Functions & Ep11Bit) != 0 ? ApMode.Ep11
        : ApMode.None;
}

/// <summary>What an adapter is used as.</summary>
public enum ApMode
{
    /// <summary>None of the three; the card driver refuses it.</summary>
    None,
    /// <summary>Accelerator, letter A.</summary>
    Accelerator,
    /// <summary>CCA coprocessor, letter C.</summary>
    Cca,
    /// <summary>EP11 coprocessor, letter P.</summary>
    Ep11,
}

using System.Globalization;
using Apvirt.Ap.Architecture;

namespace Apvirt.Ap.Hardware;

/// <summary>What kind of Crypto Express adapter a card is.</summary>
/// <param name="HwType">AP type as TAPQ reports it: 10 (CEX4) to 14 (CEX8), or an older one.</param>
/// <param name="Functions">Facility word.</param>
/// <param name="Depth">Number of requests that a queue holds, 1 to 256.</param>
/// <param name="MaxMessageBytes">Largest message: 12288 or a multiple of 4096 up to 1044480.</param>
/// <param name="Serial">Serial number, empty if unknown.</param>
public sealed record AdapterType(int HwType, uint Functions, int Depth = 8, int MaxMessageBytes = 12288, string Serial = "")
{
    /// <summary>Facility word of a usual CCA coprocessor.</summary>
    public const uint CcaFunctions = 0x92800000;

    /// <summary>Facility word of a usual EP11 coprocessor.</summary>
    public const uint Ep11Functions = 0x06800000;

    /// <summary>Facility word of a usual accelerator.</summary>
    public const uint AcceleratorFunctions = 0x6A800000;

    /// <summary>What TAPQ answers for each queue of such an adapter.</summary>
    public ApQueueInfo Info =>
        new(Functions, (byte)HwType, (byte)(Depth - 1), (byte)(MaxMessageBytes == 12288 ? 0 : MaxMessageBytes / 4096));

    /// <summary>Makes a type of its usual name: CEX4A to CEX8P.</summary>
    /// <param name="name">The name.</param>
    /// <param name="type">The type.</param>
    public static bool TryParse(string name, out AdapterType? type)
    {
        type = null;
        if (name.Length != 5 || !name.StartsWith("CEX", StringComparison.Ordinal)
            || !int.TryParse(name.AsSpan(3, 1), CultureInfo.InvariantCulture, out int generation) || generation is < 4 or > 8)
        {
            return false;
        }
        uint functions = name[4] switch
        {
            'A' => AcceleratorFunctions,
            'C' => CcaFunctions,
            'P' => Ep11Functions,
            _ => 0,
        };
        if (functions == 0)
            return false;
        type = new AdapterType(generation + 6, functions);
        return true;
    }

    /// <summary>The usual name, or <c>type N</c> for an adapter without one.</summary>
    public override string ToString()
    {
        char letter = Info.Mode switch
        {
            ApMode.Accelerator => 'A',
            ApMode.Cca => 'C',
            ApMode.Ep11 => 'P',
            _ => '?',
        };
        return HwType is >= 10 and <= 14 && letter != '?'
            ? string.Create(CultureInfo.InvariantCulture, $"CEX{HwType - 6}{letter}")
            : string.Create(CultureInfo.InvariantCulture, $"type {HwType}");
    }
}

using System.Globalization;

namespace Apvirt.Ap.Architecture;

/// <summary>An AP queue number: adapter (APID) and domain (APQI), printed <c>xx.yyyy</c> (ap-bus.md).</summary>
/// <param name="Apid">Adapter, 0 to 255.</param>
/// <param name="Apqi">Domain, 0 to 255.</param>
public readonly record struct Apqn(byte Apid, byte Apqi) : IComparable<Apqn>
{
    /// <summary>The number that the instructions take: APID in the upper byte.</summary>
    public ushort Number => (ushort)((Apid << 8) | Apqi);

    /// <summary>Makes an APQN of two ids.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    /// <param name="apqi">Domain, 0 to 255.</param>
    public static Apqn Of(int apid, int apqi) => new((byte)apid, (byte)apqi);

    /// <summary>Reads the printed form; upper case is accepted.</summary>
    /// <param name="text">The text.</param>
    /// <param name="apqn">The number.</param>
    public static bool TryParse(ReadOnlySpan<char> text, out Apqn apqn)
    {
        apqn = default;
        if (text.Length != 7 || text[2] != '.'
            || !byte.TryParse(text[..2], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte apid)
            || !ushort.TryParse(text[3..], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ushort apqi)
            || apqi > byte.MaxValue)
        {
            return false;
        }
        apqn = new Apqn(apid, (byte)apqi);
        return true;
    }

    /// <inheritdoc/>
    public int CompareTo(Apqn other) => Number.CompareTo(other.Number);

    /// <inheritdoc/>
    public override string ToString() => string.Create(7, this, static (text, apqn) =>
    {
        const string Hex = "0123456789abcdef";
        text[0] = Hex[apqn.Apid >> 4];
        text[1] = Hex[apqn.Apid & 0xf];
        text[2] = '.';
        text[3] = '0';
        text[4] = '0';
        text[5] = Hex[apqn.Apqi >> 4];
        text[6] = Hex[apqn.Apqi & 0xf];
    });
}

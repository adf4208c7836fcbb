using System.Globalization;
using System.Text;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Devices.Sysfs;

/// <summary>
/// The page that a show function fills: at most 4095 bytes reach user space, the rest is cut (sysfs.md G2, FORMAT.md).
/// Made once per reader and used again, so that showing allocates nothing.
/// </summary>
[OwnedBy("Whoever reads: a page is filled and read by the one who made it, or under the mutex of the open file that has it.")]
public sealed class SysfsText
{
    /// <summary>The most that a show function can deliver, in bytes.</summary>
    public const int Capacity = 4095;

    private readonly byte[] _page = new byte[Capacity];

    /// <summary>Number of bytes shown so far.</summary>
    public int Length { get; private set; }

    /// <summary>What has been shown.</summary>
    public ReadOnlySpan<byte> Bytes => _page.AsSpan(0, Length);

    /// <summary>What has been shown, for callers that keep it.</summary>
    public ReadOnlyMemory<byte> Memory => _page.AsMemory(0, Length);

    /// <summary>Whether nothing more fits.</summary>
    public bool IsFull => Length == Capacity;

    /// <summary>Empties the page.</summary>
    public void Clear() => Length = 0;

    /// <summary>Adds text.</summary>
    /// <param name="text">UTF-8 text.</param>
    public SysfsText Append(ReadOnlySpan<byte> text)
    {
        int fits = Math.Min(text.Length, Capacity - Length);
        text[..fits].CopyTo(_page.AsSpan(Length));
        Length += fits;
        return this;
    }

    /// <summary>Adds text.</summary>
    /// <param name="text">Text in the ASCII range.</param>
    public SysfsText Append(ReadOnlySpan<char> text)
    {
        int fits = Math.Min(text.Length, Capacity - Length);
        Length += Encoding.ASCII.GetBytes(text[..fits], _page.AsSpan(Length));
        return this;
    }

    /// <summary>Adds a decimal number.</summary>
    /// <param name="value">The number.</param>
    public SysfsText AppendDecimal(long value)
    {
        Span<char> digits = stackalloc char[20];
        value.TryFormat(digits, out int length, provider: CultureInfo.InvariantCulture);
        return Append(digits[..length]);
    }

    /// <summary>Adds a hexadecimal number in lower case.</summary>
    /// <param name="value">The number.</param>
    /// <param name="digits">How many digits, leading zeros included; at most 16.</param>
    public SysfsText AppendHex(ulong value, int digits)
    {
        Span<byte> text = stackalloc byte[digits];
        for (int i = digits - 1; i >= 0; i--, value >>= 4)
            text[i] = "0123456789abcdef"u8[(int)(value & 0xf)];
        return Append(text);
    }

    /// <summary>Adds a line end.</summary>
    public SysfsText AppendLine() => Append("\n"u8);

    /// <inheritdoc/>
    public override string ToString() => Encoding.UTF8.GetString(Bytes);
}

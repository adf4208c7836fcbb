using Apvirt.Ap.Architecture;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;

namespace Apvirt.Ap.Bus;

/// <summary>The text of masks: as printed (sysfs.md G13) and as written, absolute or relative (ap-bus.md §3).</summary>
public static class MaskText
{
    /// <summary>Length of a printed mask without its line end.</summary>
    public const int PrintedLength = 66;

    /// <summary>Prints a mask without a line end.</summary>
    /// <param name="mask">The mask.</param>
    /// <param name="text">Where to print.</param>
    public static SysfsText AppendMask(this SysfsText text, in ApMask mask)
    {
        Span<byte> digits = stackalloc byte[64];
        mask.FormatHex(digits);
        return text.Append("0x"u8).Append(digits);
    }

    /// <summary>
    /// Reads what was written to apmask or aqmask: terms with a sign change the present mask, anything else replaces it.
    /// </summary>
    /// <param name="text">What was written.</param>
    /// <param name="current">The present mask.</param>
    /// <param name="mask">The new mask.</param>
    /// <returns>EINVAL if the text is not of the grammar; the mask is then as it was.</returns>
    public static Errno Parse(ReadOnlySpan<byte> text, in ApMask current, out ApMask mask)
    {
        mask = current;
        return text.Length > 0 && text[0] is (byte)'+' or (byte)'-'
            ? ParseRelative(text, ref mask)
            : ParseAbsolute(text, ref mask);
    }

    /// <summary>Reads an absolute mask: optional 0x or x, up to 64 digits filling from the left, one optional line end.</summary>
    /// <param name="text">The text.</param>
    /// <param name="mask">The mask.</param>
    /// <returns>EINVAL for anything else.</returns>
    public static Errno ParseAbsolute(ReadOnlySpan<byte> text, ref ApMask mask)
    {
        if (text.StartsWith("0x"u8))
            text = text[2..];
        else if (text.StartsWith("x"u8))
            text = text[1..];
        Span<ulong> words = stackalloc ulong[4];
        words.Clear();
        int digits = 0;
        for (; digits < text.Length; digits++)
        {
            uint value = SysfsNumber.DigitValue(text[digits]);
            if (value >= 16)
                break;
            if (digits >= 64)
                return Errno.EINVAL;
            words[digits >> 4] |= (ulong)value << (60 - ((digits & 15) * 4));
        }
        ReadOnlySpan<byte> rest = text[digits..];
        if (rest.Length > 1 || (rest.Length == 1 && rest[0] != '\n'))
            return Errno.EINVAL;
        mask = new ApMask(words[0], words[1], words[2], words[3]);
        return Errno.Ok;
    }

    private static Errno ParseRelative(ReadOnlySpan<byte> text, ref ApMask mask)
    {
        ApMask changed = mask;
        while (text.Length > 0)
        {
            byte sign = text[0];
            if (sign is not ((byte)'+' or (byte)'-'))
                return Errno.EINVAL;
            text = text[1..];
            if (!TryTakeId(ref text, out int first))
                return Errno.EINVAL;
            int last = first;
            if (text.Length > 0 && text[0] == '-')
            {
                text = text[1..];
                if (!TryTakeId(ref text, out last) || last < first)
                    return Errno.EINVAL;
            }
            ApMask range = ApMask.UpTo(last) & ~ApMask.UpTo(first - 1);
            changed = sign == '+' ? changed | range : changed & ~range;
            text = text.TrimStart(",\n"u8);
        }
        mask = changed;
        return Errno.Ok;
    }

    // A number wraps modulo 2^64 before it is compared with 256 (QUIRKS.md 20).
    private static bool TryTakeId(ref ReadOnlySpan<byte> text, out int id)
    {
        uint radix = SysfsNumber.TakePrefix(ref text);
        int digits = SysfsNumber.ParseDigits(text, radix, out ulong value, out _);
        text = text[digits..];
        id = (int)(value & 0xff);
        return digits > 0 && value < ApMask.Size;
    }
}

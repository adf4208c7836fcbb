using Apvirt.Kernel;

namespace Apvirt.Devices.Sysfs;

/// <summary>The families of number parsing that attributes use (sysfs.md G12).</summary>
public static class SysfsNumber
{
    /// <summary>
    /// K(ul,0): optional <c>+</c>, prefix 0x/0X hexadecimal or 0 octal, else decimal; one optional trailing line feed;
    /// nothing else.
    /// </summary>
    /// <param name="text">What was written, without anything from a NUL on.</param>
    /// <param name="value">The number.</param>
    /// <returns>EINVAL if it is no number, ERANGE if it begins with one above 2^64-1, whatever follows.</returns>
    public static Errno ParseUnsigned(ReadOnlySpan<byte> text, out ulong value)
    {
        value = 0;
        if (text.Length > 0 && text[0] == '+')
            text = text[1..];
        if (text.Length > 0 && text[^1] == '\n')
            text = text[..^1];
        uint radix = TakePrefix(ref text);
        int digits = ParseDigits(text, radix, out value, out bool overflow);
        if (digits == 0)
            return Errno.EINVAL;
        // A number that is too large is told before what follows it is looked at.
        return overflow ? Errno.ERANGE : digits != text.Length ? Errno.EINVAL : Errno.Ok;
    }

    /// <summary>S(%d): leading white space, optional sign, decimal digits; the rest is ignored.</summary>
    /// <param name="text">What was written.</param>
    /// <param name="value">The number, cut to 32 bits as scanf does.</param>
    /// <returns>EINVAL if no number begins the text.</returns>
    public static Errno ScanDecimal(ReadOnlySpan<byte> text, out int value) => Scan(text, anyRadix: false, out value);

    /// <summary>S(%i): like <see cref="ScanDecimal"/>, but 0x and 0 choose the radix.</summary>
    /// <param name="text">What was written.</param>
    /// <param name="value">The number.</param>
    /// <returns>EINVAL if no number begins the text.</returns>
    public static Errno ScanInteger(ReadOnlySpan<byte> text, out int value) => Scan(text, anyRadix: true, out value);

    /// <summary>B: y, t, 1, on are true, n, f, 0, of are false, by their first letters; the rest is ignored.</summary>
    /// <param name="text">What was written.</param>
    /// <param name="value">The truth value.</param>
    /// <returns>EINVAL for anything else.</returns>
    public static Errno ParseBoolean(ReadOnlySpan<byte> text, out bool value)
    {
        int first = text.Length > 0 ? text[0] | 0x20 : 0;
        int second = text.Length > 1 ? text[1] | 0x20 : 0;
        bool isTrue = first is 'y' or 't' || (text.Length > 0 && text[0] == '1') || (first == 'o' && second == 'n');
        bool isFalse = first is 'n' or 'f' || (text.Length > 0 && text[0] == '0') || (first == 'o' && second == 'f');
        value = isTrue;
        return isTrue || isFalse ? Errno.Ok : Errno.EINVAL;
    }

    /// <summary>Takes a radix prefix off a text: 16 after 0x or 0X, 8 after 0, else 10.</summary>
    /// <param name="text">The text; what follows the prefix afterwards. A leading 0 of an octal number stays, being a digit.</param>
    public static uint TakePrefix(ref ReadOnlySpan<byte> text)
    {
        if (text.Length == 0 || text[0] != '0')
            return 10;
        if (text.Length < 3 || (text[1] | 0x20) != 'x' || DigitValue(text[2]) >= 16)
            return 8;
        text = text[2..];
        return 16;
    }

    /// <summary>Reads as many digits as there are; the value wraps modulo 2^64.</summary>
    /// <param name="text">The text.</param>
    /// <param name="radix">8, 10 or 16.</param>
    /// <param name="value">The number.</param>
    /// <param name="overflow">Whether the number did not fit.</param>
    /// <returns>How many digits there were.</returns>
    public static int ParseDigits(ReadOnlySpan<byte> text, uint radix, out ulong value, out bool overflow)
    {
        value = 0;
        overflow = false;
        int length = 0;
        for (; length < text.Length; length++)
        {
            uint digit = DigitValue(text[length]);
            if (digit >= radix)
                break;
            ulong high = Math.BigMul(value, radix, out ulong low);
            ulong next = low + digit;
            overflow |= high != 0 || next < low;
            value = next;
        }
        return length;
    }

    /// <summary>Value of a digit in either case, 255 for what is none.</summary>
    /// <param name="character">An ASCII character.</param>
    public static uint DigitValue(byte character) => character switch
    {
        >= (byte)'0' and <= (byte)'9' => (uint)(character - '0'),
        >= (byte)'a' and <= (byte)'f' => (uint)(character - 'a' + 10),
        >= (byte)'A' and <= (byte)'F' => (uint)(character - 'A' + 10),
        _ => 255,
    };

    private static Errno Scan(ReadOnlySpan<byte> text, bool anyRadix, out int value)
    {
        while (text.Length > 0 && (text[0] == ' ' || text[0] is >= 9 and <= 13))
            text = text[1..];
        bool negative = text.Length > 0 && text[0] == '-';
        if (text.Length > 0 && text[0] is (byte)'-' or (byte)'+')
            text = text[1..];
        uint radix = anyRadix ? TakePrefix(ref text) : 10;
        int digits = ParseDigits(text, radix, out ulong magnitude, out _);
        value = unchecked((int)(negative ? 0 - magnitude : magnitude));
        return digits == 0 ? Errno.EINVAL : Errno.Ok;
    }
}

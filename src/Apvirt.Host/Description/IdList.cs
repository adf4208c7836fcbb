using System.Globalization;
using Apvirt.Ap.Architecture;

namespace Apvirt.Host.Description;

/// <summary>Ids and ranges of ids as people write them: <c>5</c>, <c>0x47</c>, <c>0-84</c>.</summary>
public static class IdList
{
    /// <summary>What is expected of one item.</summary>
    public const string Expected = "an id from 0 to 255 such as 5 or 0x47, or a range such as 0-84";

    /// <summary>Reads one id or range.</summary>
    /// <param name="text">The text.</param>
    /// <param name="ids">The ids.</param>
    public static bool TryParse(string text, out ApMask ids)
    {
        ids = ApMask.None;
        string[] ends = text.Split('-');
        if (ends.Length is not (1 or 2) || !TryParseId(ends[0], out int first) || !TryParseId(ends[^1], out int last) || last < first)
            return false;
        ids = ApMask.UpTo(last) & ~ApMask.UpTo(first - 1);
        return true;
    }

    /// <summary>Reads several, separated by commas; <c>none</c> is an empty list.</summary>
    /// <param name="text">The text.</param>
    /// <param name="ids">The ids.</param>
    public static bool TryParseMany(string text, out ApMask ids)
    {
        ids = ApMask.None;
        if (text == "none")
            return true;
        foreach (string item in text.Split(','))
        {
            if (!TryParse(item, out ApMask some))
                return false;
            ids |= some;
        }
        return true;
    }

    /// <summary>Writes ids with ranges put together.</summary>
    /// <param name="ids">The ids.</param>
    /// <param name="digits">Hexadecimal digits of an id.</param>
    public static IEnumerable<string> Format(ApMask ids, int digits = 2)
    {
        int first = -1;
        for (int id = 0; id <= ApMask.Size; id++)
        {
            bool isIn = id < ApMask.Size && ids[id];
            if (isIn && first < 0)
                first = id;
            if (isIn || first < 0)
                continue;
            int last = id - 1;
            string begin = Hex(first, digits);
            if (last == first)
                yield return begin;
            else
                yield return $"{begin}-{Hex(last, digits)}";
            first = -1;
        }
    }

    private static string Hex(int id, int digits) => "0x" + id.ToString("x" + digits.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    private static bool TryParseId(string text, out int id)
    {
        text = text.Trim();
        bool isHex = text.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        return int.TryParse(
                isHex ? text.AsSpan(2) : text,
                isHex ? NumberStyles.AllowHexSpecifier : NumberStyles.None,
                CultureInfo.InvariantCulture,
                out id)
            && id is >= 0 and < ApMask.Size;
    }
}

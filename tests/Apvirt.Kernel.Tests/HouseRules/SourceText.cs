using System.Text;

namespace Apvirt.Kernel.Tests.HouseRules;

/// <summary>C# text as far as the rules need to understand it.</summary>
internal static class SourceText
{
    /// <summary>
    /// The text with its comments blanked, line by line as long as it was. A rule about calls may then be named in a comment.
    /// </summary>
    internal static string WithoutComments(string text)
    {
        StringBuilder code = new(text);
        int at = 0;
        while (at < text.Length)
        {
            int end = EndOfToken(text, at, out bool isComment);
            for (int i = at; isComment && i < end; i++)
            {
                if (text[i] != '\n')
                    code[i] = ' ';
            }
            at = end;
        }
        return code.ToString();
    }

    /// <summary>The line of a position, from 1.</summary>
    internal static int LineOf(string text, int position) => text.AsSpan(0, position).Count('\n') + 1;

    private static int EndOfToken(string text, int at, out bool isComment)
    {
        ReadOnlySpan<char> rest = text.AsSpan(at);
        isComment = rest.StartsWith("//") || rest.StartsWith("/*");
        if (rest.StartsWith("//"))
            return After(text, "\n", at) - (text.AsSpan(at).Contains('\n') ? 1 : 0);
        if (rest.StartsWith("/*"))
            return After(text, "*/", at + 2);
        if (rest.StartsWith("\"\"\""))
        {
            int quotes = rest.Length - rest.TrimStart('"').Length;
            return After(text, new string('"', quotes), at + quotes);
        }
        if (rest[0] == '"')
            return AfterQuoted(text, at, doubledQuotes: at > 0 && (text[at - 1] == '@' || (text[at - 1] == '$' && at > 1 && text[at - 2] == '@')));
        return rest[0] == '\'' ? AfterQuoted(text, at, doubledQuotes: false) : at + 1;
    }

    private static int AfterQuoted(string text, int at, bool doubledQuotes)
    {
        char quote = text[at];
        for (int i = at + 1; i < text.Length; i++)
        {
            if (text[i] == '\\' && !doubledQuotes)
                i++;
            else if (text[i] == quote && doubledQuotes && i + 1 < text.Length && text[i + 1] == quote)
                i++;
            else if (text[i] == quote || (text[i] == '\n' && !doubledQuotes))
                return i + 1;
        }
        return text.Length;
    }

    private static int After(string text, string end, int from)
    {
        int found = text.IndexOf(end, Math.Min(from, text.Length), StringComparison.Ordinal);
        return found < 0 ? text.Length : found + end.Length;
    }
}

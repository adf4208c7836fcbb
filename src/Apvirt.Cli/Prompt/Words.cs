using System.Text;

namespace Apvirt.Cli.Prompt;

/// <summary>Splits a line into words as a shell does: blanks separate, quotes keep together, \n and \t are what they say.</summary>
internal static class Words
{
    internal static List<string> Split(string line)
    {
        List<string> words = [];
        StringBuilder word = new();
        bool isOpen = false;
        char quote = '\0';
        for (int i = 0; i < line.Length; i++)
        {
            char c = line[i];
            if (c == '\\' && i + 1 < line.Length)
            {
                c = line[++i];
                word.Append(c switch
                {
                    'n' => '\n',
                    't' => '\t',
                    '0' => '\0',
                    _ => c,
                });
                isOpen = true;
            }
            else if (quote != '\0')
            {
                if (c == quote)
                    quote = '\0';
                else
                    word.Append(c);
            }
            else if (c is '"' or '\'')
            {
                quote = c;
                isOpen = true;
            }
            else if (c is ' ' or '\t')
            {
                if (isOpen)
                    words.Add(word.ToString());
                word.Clear();
                isOpen = false;
            }
            else
            {
                word.Append(c);
                isOpen = true;
            }
        }
        if (isOpen)
            words.Add(word.ToString());
        return words;
    }
}

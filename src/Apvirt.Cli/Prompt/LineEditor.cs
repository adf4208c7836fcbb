using System.Text;

namespace Apvirt.Cli.Prompt;

/// <summary>Reads lines from a terminal, with a history on the arrow keys and completion on tab.</summary>
internal sealed class LineEditor(TextWriter output, Func<ConsoleKeyInfo> readKey, Func<string, IReadOnlyList<string>> complete)
{
    private readonly List<string> _history = [];

    /// <summary>Reads a line; null at the end of input (control-D on an empty line).</summary>
    internal string? Read(string prompt)
    {
        StringBuilder line = new();
        int cursor = 0;
        int at = _history.Count;
        while (true)
        {
            Draw(prompt, line, cursor);
            ConsoleKeyInfo key = readKey();
            bool isControl = key.Modifiers.HasFlag(ConsoleModifiers.Control);
            switch (key.Key)
            {
                case ConsoleKey.Enter:
                    output.WriteLine();
                    if (line.Length > 0 && (_history.Count == 0 || _history[^1] != line.ToString()))
                        _history.Add(line.ToString());
                    return line.ToString();
                case ConsoleKey.D when isControl && line.Length == 0:
                    output.WriteLine();
                    return null;
                case ConsoleKey.U when isControl:
                    line.Clear();
                    cursor = 0;
                    break;
                case ConsoleKey.A when isControl:
                case ConsoleKey.Home:
                    cursor = 0;
                    break;
                case ConsoleKey.E when isControl:
                case ConsoleKey.End:
                    cursor = line.Length;
                    break;
                case ConsoleKey.LeftArrow:
                    cursor = Math.Max(0, cursor - 1);
                    break;
                case ConsoleKey.RightArrow:
                    cursor = Math.Min(line.Length, cursor + 1);
                    break;
                case ConsoleKey.UpArrow when at > 0:
                    Recall(line, --at, out cursor);
                    break;
                case ConsoleKey.DownArrow when at < _history.Count:
                    Recall(line, ++at, out cursor);
                    break;
                case ConsoleKey.Backspace when cursor > 0:
                    line.Remove(--cursor, 1);
                    break;
                case ConsoleKey.Delete when cursor < line.Length:
                    line.Remove(cursor, 1);
                    break;
                case ConsoleKey.Tab:
                    Complete(prompt, line, ref cursor);
                    break;
                default:
                    if (!char.IsControl(key.KeyChar))
                        line.Insert(cursor++, key.KeyChar);
                    break;
            }
        }
    }

    private void Recall(StringBuilder line, int at, out int cursor)
    {
        line.Clear();
        if (at < _history.Count)
            line.Append(_history[at]);
        cursor = line.Length;
    }

    // One candidate is put in, several as far as they agree; a tab that adds nothing lists them.
    private void Complete(string prompt, StringBuilder line, ref int cursor)
    {
        string before = line.ToString(0, cursor);
        int begin = before.LastIndexOf(' ') + 1;
        IReadOnlyList<string> candidates = complete(before);
        if (candidates.Count == 0)
            return;
        string common = candidates.Aggregate((a, b) => a[..a.Zip(b).TakeWhile(pair => pair.First == pair.Second).Count()]);
        if (candidates.Count == 1 && !common.EndsWith('/'))
            common += " ";
        if (common.Length > before.Length - begin)
        {
            line.Remove(begin, cursor - begin).Insert(begin, common);
            cursor = begin + common.Length;
            return;
        }
        Draw(prompt, line, cursor);
        output.WriteLine();
        output.WriteLine(string.Join("  ", candidates));
    }

    private void Draw(string prompt, StringBuilder line, int cursor)
    {
        output.Write($"\r\u001b[K{prompt}{line}");
        if (cursor < line.Length)
            output.Write($"\u001b[{line.Length - cursor}D");
        output.Flush();
    }
}

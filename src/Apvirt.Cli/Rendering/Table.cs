namespace Apvirt.Cli.Rendering;

/// <summary>Columns as wide as what is in them, two blanks between.</summary>
internal sealed class Table(params string[] titles)
{
    private readonly List<string[]> _rows = [titles];

    internal void Add(params string[] cells) => _rows.Add(cells);

    internal void Write(TextWriter output)
    {
        int[] widths = [.. Enumerable.Range(0, _rows[0].Length).Select(column => _rows.Max(row => row[column].Length))];
        foreach (string[] row in _rows)
            output.WriteLine(string.Join("  ", row.Select((cell, column) => cell.PadRight(widths[column]))).TrimEnd());
        output.WriteLine();
    }
}

using System.Globalization;
using System.Text;
using Apvirt.Host.Views;

namespace Apvirt.Cli.Rendering;

/// <summary>
/// The matrix: a row for each adapter, a column for each domain. A cell says who owns the queue: <c>h</c> the host,
/// <c>.</c> vfio_ap without an mdev, a letter the mdev; <c>A*</c> means that the mdev's guest has it now.
/// </summary>
internal static class MatrixText
{
    private const int CellWidth = 5;
    private const int LabelWidth = 6;

    internal static string Letter(int index) =>
        index < 26 ? ((char)('A' + index)).ToString() : $"{(char)('A' + (index / 26) - 1)}{(char)('A' + (index % 26))}";

    internal static void Write(CommandIo io, HostView view)
    {
        Dictionary<string, string> letters = [];
        for (int i = 0; i < view.Mdevs.Count; i++)
            letters[view.Mdevs[i].Uuid] = Letter(i);
        Dictionary<string, QueueView> queues = view.Queues.ToDictionary(q => q.Apqn, StringComparer.Ordinal);
        string[] domains = [.. view.Queues.Select(q => q.Apqn[3..]).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        if (domains.Length == 0)
        {
            io.Out.WriteLine("no queues");
            io.Out.WriteLine();
            return;
        }
        foreach (string[] block in domains.Chunk(Math.Max(1, (io.Width - LabelWidth) / CellWidth)))
        {
            io.Out.WriteLine("".PadRight(LabelWidth) + string.Concat(block.Select(d => d.PadRight(CellWidth))).TrimEnd());
            foreach (CardView card in view.Cards)
                io.Out.WriteLine(Row(io, card.Id, block, queues, letters));
            io.Out.WriteLine();
        }
        io.Out.WriteLine("h host driver   . vfio_ap, in no mdev   A mdev A   A* the guest of A has it   ? no driver   ! not usable   (blank) no queue");
        io.Out.WriteLine();
    }

    private static string Row(CommandIo io, string adapter, string[] domains, Dictionary<string, QueueView> queues, Dictionary<string, string> letters)
    {
        StringBuilder line = new(adapter.PadRight(LabelWidth));
        foreach (string domain in domains)
        {
            string cell = queues.TryGetValue(string.Create(CultureInfo.InvariantCulture, $"{adapter}.{domain}"), out QueueView? queue) ? Cell(queue, letters) : "";
            string padded = cell.PadRight(CellWidth);
            line.Append(io.UsesColour && Colour(queue) is { } colour ? $"{colour}{padded}\u001b[0m" : padded);
        }
        return line.ToString().TrimEnd();
    }

    private static string Cell(QueueView queue, Dictionary<string, string> letters)
    {
        string owner = queue.Driver switch
        {
            null => "?",
            "vfio_ap" => queue.Mdev is null ? "." : letters[queue.Mdev],
            _ => "h",
        };
        string use = queue.Guest is null ? "" : "*";
        return owner + use + (queue.Status is "deconfig" or "chkstop" ? "!" : "");
    }

    private static string? Colour(QueueView? queue) => queue switch
    {
        { Driver: null } => "\u001b[31m",
        { Guest: not null } => "\u001b[32m",
        { Mdev: not null } => "\u001b[33m",
        _ => null,
    };
}

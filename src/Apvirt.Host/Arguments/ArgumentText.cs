using System.Globalization;
using System.Text;
using Apvirt.Ap.Profiles;

namespace Apvirt.Host.Arguments;

/// <summary>The argument in words.</summary>
public static class ArgumentText
{
    private const int Width = 110;

    /// <summary>Formats the argument.</summary>
    /// <param name="statements">Its statements.</param>
    /// <param name="profile">Whose quirks apply.</param>
    public static string Format(IReadOnlyList<ArgumentStatement> statements, Profile profile)
    {
        StringBuilder text = new();
        for (int i = 0; i < statements.Count; i++)
        {
            ArgumentStatement statement = statements[i];
            text.Append(CultureInfo.InvariantCulture, $"{i + 1}  {statement.Ground.ToString().ToLowerInvariant(),-8} {statement.Claim}\n");
            Wrap(text, statement.Evidence);
            foreach (string broken in statement.Broken)
                text.Append("            ! ").Append(broken).Append('\n');
        }
        int[] broke = [.. Enumerable.Range(0, statements.Count).Where(i => statements[i].Broken.Count > 0).Select(i => i + 1)];
        return text.Append(broke.Length == 0
            ? $"\nThe argument holds under {profile.Name}: no number of guests, queues and administrators deadlocks, as far as {string.Join(" and ", Enumerable.Range(0, statements.Count).Where(i => statements[i].Ground == Ground.Assumed).Select(i => i + 1))} are true.\n"
            : $"\nThe argument is broken under {profile.Name}, at {string.Join(", ", broke)}.\n").ToString();
    }

    private static void Wrap(StringBuilder text, string words)
    {
        int column = Width;
        foreach (string word in words.Split(' '))
        {
            if (column + word.Length + 1 > Width)
            {
                text.Append(column == Width ? "" : "\n").Append("            ");
                column = 12;
            }
            else
            {
                text.Append(' ');
                column++;
            }
            text.Append(word);
            column += word.Length;
        }
        text.Append('\n');
    }
}

using System.Text;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;

namespace Apvirt.Devices.Events;

/// <summary>The <c>uevent</c> file of a device: its variables, and synthetic events when written (sysfs.md §0).</summary>
public static class UeventAttribute
{
    private static readonly string[] Actions = ["add", "change", "remove", "move", "online", "offline", "bind", "unbind"];

    /// <summary>Shows the variables, one a line.</summary>
    /// <param name="source">The object.</param>
    /// <param name="text">The page.</param>
    public static void Show(IUeventSource source, SysfsText text)
    {
        List<KeyValuePair<string, string>> variables = [];
        source.AddVariables(variables);
        foreach ((string key, string value) in variables)
            text.Append(key).Append("="u8).Append(value).AppendLine();
    }

    /// <summary>Sends a synthetic event: an action, then optionally a UUID and KEY=VALUE words.</summary>
    /// <param name="stream">Where to send.</param>
    /// <param name="source">The object.</param>
    /// <param name="text">What was written.</param>
    /// <returns>EINVAL if the text does not begin with one of the eight actions.</returns>
    public static Errno Store(UeventStream stream, IUeventSource source, ReadOnlySpan<byte> text)
    {
        string[] words = Encoding.UTF8.GetString(text).TrimEnd('\n').Split(' ');
        if (!Actions.Contains(words[0]))
            return Errno.EINVAL;
        List<KeyValuePair<string, string>> extra = [new("SYNTH_UUID", words.Length > 1 ? words[1] : "0")];
        if (words.Length > 1 && !Guid.TryParseExact(words[1], "D", out _))
            return Errno.EINVAL;
        foreach (string word in words.Skip(2))
        {
            int equals = word.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
                return Errno.EINVAL;
            extra.Add(new("SYNTH_ARG_" + word[..equals], word[(equals + 1)..]));
        }
        stream.Send(source, words[0], extra.ToArray());
        return Errno.Ok;
    }
}

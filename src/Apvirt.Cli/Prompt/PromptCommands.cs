using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Apvirt.Ap.Architecture;
using Apvirt.Host.Description;
using Apvirt.Host.Traces;

namespace Apvirt.Cli.Prompt;

/// <summary>A command of the prompt.</summary>
/// <param name="Name">Its words, such as <c>guest start</c>.</param>
/// <param name="Arguments">Its arguments, for help.</param>
/// <param name="Help">What it does.</param>
/// <param name="Operation">The operation that it stands for; null if the line is not as it should be, or the prompt does it itself.</param>
internal sealed record PromptCommand(string Name, string Arguments, string Help, Func<PromptCommands, List<string>, JsonObject?>? Operation = null);

/// <summary>What can be typed, as one table. Most commands stand for an operation of traces, so a session can be recorded.</summary>
internal sealed class PromptCommands(LiveHost live)
{
    internal static IReadOnlyList<PromptCommand> Table { get; } =
    [
        new("read", "PATH", "print an attribute", (_, w) => w.Count == 1 ? Make("read", ("path", w[0])) : null),
        new("write", "PATH DATA…", "write to an attribute, without a line end unless \\n says so", (_, w) =>
            w.Count >= 2 ? Make("write", ("path", w[0]), ("data", string.Join(' ', w.Skip(1)))) : null),
        new("ls", "PATH", "list a directory"),
        new("driver", "DEVICE", "which driver a device has", (_, w) => w.Count == 1 ? Make("driver", ("device", w[0])) : null),
        new("guest start", "NAME DEVICE… [no-req-irq] [no-ap] [no-gisa] [no-kvm] [protected] [mem=BYTES]", "start a guest with devices, or plug them in: UUIDs, aliases, PCI addresses or fids", (c, w) => c.StartGuest(w)),
        new("guest list", "", "list the guests"),
        new("guest stop", "NAME", "stop a guest", (_, w) => w.Count == 1 ? Make("guest.stop", ("guest", w[0])) : null),
        new("guest detach", "NAME DEVICE", "take a device from a guest", (c, w) =>
            w.Count == 2 ? Make("guest.detach", ("guest", w[0]), ("mdev", c.Device(w[1]))) : null),
        new("guest apcb", "NAME", "print what the guest's control block holds", (_, w) => w.Count == 1 ? Make("guest.apcb", ("guest", w[0])) : null),
        new("guest irq", "NAME", "print pins and interruption subclasses", (_, w) => w.Count == 1 ? Make("guest.irq_state", ("guest", w[0])) : null),
        new("guest refs", "NAME", "print who holds references to its VM", (_, w) => w.Count == 1 ? Make("guest.refs", ("guest", w[0])) : null),
        new("guest aqic", "NAME APQN on|off ISC NIB", "let the guest switch the interrupts of a queue", (_, w) => Aqic(w)),
        new("guest lszcrypt", "NAME", "list the queues that the guest's own AP bus finds"),
        new("hw config", "ADAPTERS DOMAINS [CONTROL]", "change the host's configuration, such as 5-6 4,0x47", (_, w) => Configure(w)),
        new("hw scan", "", "scan the bus", (_, _) => Make("write", ("path", "/sys/bus/ap/scans"), ("data", "1"))),
        new("hw state", "APQN normal|deconfigured|checkstopped", "set the state of a queue", (_, w) =>
            w.Count == 2 ? Make("queue.state", ("apqn", w[0]), ("state", w[1])) : null),
        new("hw fault", "APQN zapq|tapq|aqic CODE… [sticky]", "inject responses; none takes them back", (_, w) => Fault(w)),
        new("hw interrupt", "APQN|PCI", "let a queue or a PCI function interrupt whom it is armed for", (c, w) =>
            w.Count != 1 ? null : w[0].Contains(':', StringComparison.Ordinal) ? Make("zpci.interrupt", ("device", w[0])) : Make("queue.interrupt", ("apqn", w[0]))),
        new("hw resets", "", "count resets by queue", (_, _) => Make("queue.resets")),
        new("hw configure", "APID", "configure an adapter on, as a service element does"),
        new("hw deconfigure", "APID", "configure an adapter off"),
        new("hw checkstop", "APID", "checkstop an adapter"),
        new("hw add", "APID TYPE", "add an adapter, such as 7 CEX8C, and configure it on"),
        new("hw remove", "APID", "take an adapter out of the machine"),
        new("show", "", "show the host"),
        new("explain", "APQN|UUID|GUEST [--json]", "say why it has what it has, and what would change that"),
        new("snapshot", "", "print the host as a description"),
        new("help", "[COMMAND]", "print this"),
        new("quit", "", "end"),
    ];

    /// <summary>Finds the command that a line begins with, the longest first.</summary>
    internal static PromptCommand? Find(List<string> words, out List<string> arguments)
    {
        for (int length = Math.Min(2, words.Count); length > 0; length--)
        {
            string name = string.Join(' ', words.Take(length));
            if (Table.FirstOrDefault(c => string.Equals(c.Name, name, StringComparison.Ordinal)) is not { } command)
                continue;
            arguments = words[length..];
            return command;
        }
        arguments = [];
        return null;
    }

    /// <summary>The device in the tree that a word means: by its alias, the number of a PCI function, or its name.</summary>
    internal string Device(string word) =>
        live.Source.Aliases.FirstOrDefault(a => string.Equals(a.Value, word, StringComparison.Ordinal)).Key
        ?? live.Host.Pci.Bus.Slots.FirstOrDefault(slot => word == "0x" + slot.Setup.Fid.ToString("x", CultureInfo.InvariantCulture))?.Address
        ?? word;

    private static JsonObject Make(string operation, params ReadOnlySpan<(string Name, JsonNode? Value)> fields)
    {
        JsonObject line = new() { ["op"] = operation };
        foreach ((string name, JsonNode? value) in fields)
            line[name] = value;
        return line;
    }

    private static JsonArray Ids(ApMask ids) => [.. ids.ToList().Select(id => (JsonNode)id)];

    private static JsonObject? Configure(List<string> words)
    {
        if (words.Count is not (2 or 3) || !IdList.TryParseMany(words[0], out ApMask adapters) || !IdList.TryParseMany(words[1], out ApMask domains))
            return null;
        ApMask control = domains;
        if (words.Count == 3 && !IdList.TryParseMany(words[2], out control))
            return null;
        return Make("host.config", ("adapters", Ids(adapters)), ("domains", Ids(domains)), ("control_domains", Ids(control)));
    }

    private static JsonObject? Fault(List<string> words)
    {
        if (words.Count < 2)
            return null;
        bool isSticky = words[^1] == "sticky";
        JsonArray codes = [];
        foreach (string word in words.Skip(2).SkipLast(isSticky ? 1 : 0))
        {
            if (!byte.TryParse(word, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte code))
                return null;
            codes.Add((int)code);
        }
        JsonObject line = Make("queue.fault", ("apqn", words[0]), ("insn", words[1]), ("rc", codes));
        if (isSticky)
            line["sticky"] = true;
        return line;
    }

    private static JsonObject? Aqic(List<string> words) =>
        words.Count == 5 && words[2] is "on" or "off" && int.TryParse(words[3], CultureInfo.InvariantCulture, out int isc)
            ? Make("pqap.aqic", ("guest", words[0]), ("apqn", words[1]), ("enable", words[2] == "on"), ("isc", isc), ("nib", words[4]))
            : null;

    private static bool IsStartOption(string word) =>
        word is "no-req-irq" or "no-ap" or "no-gisa" or "no-kvm" or "protected" || word.StartsWith("mem=", StringComparison.Ordinal);

    private JsonObject? StartGuest(List<string> words)
    {
        if (words.Count < 2)
            return null;
        string[] devices = [.. words.Skip(1).TakeWhile(word => !IsStartOption(word)).Select(Device)];
        if (devices.Length == 0)
            return null;
        JsonObject line = devices.Length == 1
            ? Make("guest.start", ("guest", words[0]), ("mdev", devices[0]))
            : Make("guest.start", ("guest", words[0]), ("devices", new JsonArray([.. devices.Select(device => JsonValue.Create(device))])));
        foreach (string option in words.Skip(1 + devices.Length))
        {
            switch (option)
            {
                case "no-req-irq":
                    line["req_irq"] = false;
                    break;
                case "no-ap" or "no-gisa" or "no-kvm":
                    line[option[3..]] = false;
                    break;
                case "protected":
                    line["protected"] = true;
                    break;
                default:
                    if (!option.StartsWith("mem=", StringComparison.Ordinal) || !ulong.TryParse(option.AsSpan(4), CultureInfo.InvariantCulture, out ulong bytes))
                        return null;
                    line["mem"] = bytes;
                    break;
            }
        }
        return line;
    }

    /// <summary>The operation as a line of a trace.</summary>
    internal static byte[] ToLine(JsonObject operation) =>
        Encoding.UTF8.GetBytes(operation.ToJsonString(new JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }));
}

using System.Text;
using System.Text.Json.Nodes;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Cli.Commands;
using Apvirt.Cli.Rendering;
using Apvirt.Devices.Sysfs;
using Apvirt.Host.Description;
using Apvirt.Host.Explaining;
using Apvirt.Host.Guests;
using Apvirt.Host.Traces;
using Apvirt.Host.Views;
using Apvirt.Kernel;

namespace Apvirt.Cli.Prompt;

/// <summary>Carries out what is typed at a host, line by line.</summary>
internal sealed class PromptSession(LiveHost live, CommandIo io)
{
    private const int HelpColumn = 52;

    private readonly PromptCommands _commands = new(live);

    /// <summary>Whether the user wants to end.</summary>
    internal bool IsOver { get; private set; }

    /// <summary>Carries out one line.</summary>
    /// <returns>The exit status of this line.</returns>
    internal int Execute(string line)
    {
        List<string> words = Words.Split(line);
        return words.Count == 0 || words[0].StartsWith('#') ? ExitCodes.Ok : Execute(words);
    }

    /// <summary>Carries out a command that is in words already.</summary>
    /// <returns>Its exit status.</returns>
    internal int Execute(List<string> words)
    {
        if (PromptCommands.Find(words, out List<string> arguments) is not { } command)
        {
            io.Error.WriteLine($"\"{string.Join(' ', words)}\": there is no such command; 'help' lists them");
            return ExitCodes.BadInput;
        }
        if (command.Operation is null)
            return ExecuteOwn(command, arguments);
        return command.Operation(_commands, arguments) is { } operation ? Run(command, operation) : Usage(command);
    }

    private int Run(PromptCommand command, JsonObject operation)
    {
        if (TraceReader.ReadSingle(PromptCommands.ToLine(operation), out TraceLine? line) is { } error)
        {
            io.Error.WriteLine($"{command.Name}: {error.Message}");
            return ExitCodes.BadInput;
        }
        using (line)
        {
            Answer? answer = live.Run(line!, out IReadOnlyList<string> log);
            if (answer is null)
                io.Out.WriteLine("blocked (it goes on by itself when the guest lets go of the device)");
            bool failed = answer is not null && !Print(answer);
            foreach (string reason in failed ? log : [])
                io.Error.WriteLine($"  {reason}");
            return failed ? ExitCodes.Differences : ExitCodes.Ok;
        }
    }

    // A value is printed as it is, other answers as name and value; ok is not worth a word.
    private bool Print(Answer answer)
    {
        foreach ((string name, AnswerValue value) in answer.Fields)
        {
            if (name == "result")
            {
                string word = value.ToString().Trim('"');
                if (word == "ok")
                    continue;
                string meaning = Enum.TryParse(word, out Errno errno) ? $": {errno.Describe()}" : "";
                io.Error.WriteLine(word + meaning);
                return false;
            }
            string text = value.ToString();
            if (name != "value")
                io.Out.WriteLine($"{name} {text.Trim('"')}");
            else if (text.StartsWith('"'))
                io.Out.WriteLine(System.Text.Json.JsonSerializer.Deserialize<string>(text)!.TrimEnd('\n'));
            else
                io.Out.WriteLine(text);
        }
        return true;
    }

    private int ExecuteOwn(PromptCommand command, List<string> arguments)
    {
        switch (command.Name)
        {
            case "quit":
                IsOver = true;
                return ExitCodes.Ok;
            case "help":
                Help(arguments);
                return ExitCodes.Ok;
            case "show":
                HostText.Write(io, HostView.Of(live.Host, live.Source.Aliases));
                return ExitCodes.Ok;
            case "explain":
                return arguments is [_] or [_, "--json"] ? Explain(arguments[0], arguments.Count == 2) : Usage(command);
            case "snapshot":
                io.Out.Write(HostDescriptionWriter.Write(DescribedHost.Snapshot(live.Host, live.Source.Aliases)));
                return ExitCodes.Ok;
            case "ls":
                return arguments.Count == 1 ? List(arguments[0]) : Usage(command);
            case "guest list":
                GuestText.Write(io, HostView.Of(live.Host, live.Source.Aliases));
                return ExitCodes.Ok;
            case "hw add":
                return arguments.Count == 2 ? AddAdapter(arguments[0], arguments[1]) : Usage(command);
            case "guest lszcrypt":
                return arguments.Count == 1 ? ListInGuest(arguments[0]) : Usage(command);
            default:
                return arguments.Count == 1 && IdList.TryParse(arguments[0], out Ap.Architecture.ApMask ids)
                    ? ChangeAdapters(command.Name, ids.ToList())
                    : Usage(command);
        }
    }

    private int Explain(string subject, bool json)
    {
        TreeSource source = new(live.Host.Tree, (path, text) => live.Run(task => live.Host.Tree.ReadAsync(task, path, text)));
        Dictionary<string, IReadOnlyList<string>> guests = live.Host.Guests.List().ToDictionary(
            guest => guest.Name, IReadOnlyList<string> (guest) => [.. guest.Devices.Select(device => device.DeviceName)], StringComparer.Ordinal);
        return ExplainCommand.Say(io, new Explainer(ApSysfs.Read(source)!, live.Source.Aliases, guests).Explain(subject), subject, json);
    }

    // A service element adds the adapter and configures it on, as one does for a new card.
    private int AddAdapter(string id, string type)
    {
        if (!IdList.TryParse(id, out Ap.Architecture.ApMask ids) || ids.ToList() is not [var apid] || !AdapterType.TryParse(type, out AdapterType? adapter))
        {
            io.Error.WriteLine($"hw add: expected an adapter such as 7 and a type such as CEX8C, not \"{id} {type}\"");
            return ExitCodes.BadInput;
        }
        if (live.Host.Hardware.TypeOf(apid) is not null)
        {
            io.Error.WriteLine($"adapter 0x{apid:x2} is in this machine already");
            return ExitCodes.Differences;
        }
        live.Host.Hardware.AddAdapter(apid, adapter!);
        Ap.Architecture.QciInfo now = live.Host.Hardware.Configuration;
        live.Run(async task =>
        {
            await live.Host.ConfigureAsync(task, now.Apm.With(apid), now.Aqm, now.Adm);
            return true;
        });
        return ExitCodes.Ok;
    }

    private int ChangeAdapters(string command, IReadOnlyList<int> ids)
    {
        if (command == "hw remove")
            return RemoveAdapters(ids);
        foreach (int apid in ids)
        {
            bool isKnown = command == "hw checkstop"
                ? live.Host.Hardware.SetCheckstopped(apid, isCheckstopped: true)
                : live.Host.Hardware.SetConfigured(apid, command == "hw configure");
            if (isKnown)
                continue;
            io.Error.WriteLine($"there is no adapter 0x{apid:x2} in this machine");
            return ExitCodes.Differences;
        }
        live.Run(async task =>
        {
            await live.Host.ApBus.ScanAsync(task);
            return true;
        });
        return ExitCodes.Ok;
    }

    private int RemoveAdapters(IReadOnlyList<int> ids)
    {
        Ap.Architecture.QciInfo now = live.Host.Hardware.Configuration;
        Ap.Architecture.ApMask rest = now.Apm;
        foreach (int apid in ids)
        {
            if (!rest[apid])
            {
                io.Error.WriteLine($"adapter 0x{apid:x2} is not in the host's configuration");
                return ExitCodes.Differences;
            }
            rest = rest.Without(apid);
        }
        live.Run(async task =>
        {
            await live.Host.ConfigureAsync(task, rest, now.Aqm, now.Adm);
            foreach (int apid in ids)
                live.Host.Hardware.RemoveAdapter(apid);
            return true;
        });
        return ExitCodes.Ok;
    }

    private int List(string path)
    {
        Errno error = live.Host.Tree.Find(path, out SysfsEntry found);
        if (error != Errno.Ok)
        {
            io.Error.WriteLine($"{error}: {error.Describe()}");
            return ExitCodes.Differences;
        }
        SysfsEntry[] entries = found.Kind == SysfsEntryKind.Attribute
            ? [found]
            : [.. found.Directory.List().OrderBy(e => e.Name, StringComparer.Ordinal)];
        foreach (SysfsEntry entry in entries)
        {
            io.Out.WriteLine(entry.Kind switch
            {
                SysfsEntryKind.Directory => $"drwxr-xr-x  {entry.Name}/",
                SysfsEntryKind.Link => $"lrwxrwxrwx  {entry.Name} -> {found.Directory.RelativePathTo(entry.Directory)}",
                _ => $"-{Mode(entry.Attribute!.Mode)}  {entry.Name}",
            });
        }
        return ExitCodes.Ok;
    }

    private static string Mode(SysfsMode mode)
    {
        const string Letters = "rwxrwxrwx";
        return string.Create(9, mode, static (text, bits) =>
        {
            for (int i = 0; i < text.Length; i++)
                text[i] = ((int)bits >> (8 - i) & 1) != 0 ? Letters[i] : '-';
        });
    }

    private int ListInGuest(string name)
    {
        if (live.Host.Guests.Find(name) is not { } guest)
        {
            io.Error.WriteLine($"there is no guest \"{name}\"");
            return ExitCodes.Differences;
        }
        ApBus bus = live.Run(task => live.Host.Guests.BootGuestBusAsync(task, guest));
        Table table = new("QUEUE", "TYPE", "DRIVER");
        foreach (ApQueue queue in bus.Queues())
            table.Add(queue.Name, Apvirt.Ap.Drivers.Cex4CardDriver.TypeName(queue.Card), queue.Driver?.Name ?? "-");
        table.Write(io.Out);
        return ExitCodes.Ok;
    }

    private void Help(List<string> arguments)
    {
        string wanted = string.Join(' ', arguments);
        foreach (PromptCommand command in PromptCommands.Table)
        {
            if (command.Name.StartsWith(wanted, StringComparison.Ordinal))
            {
                string usage = $"  {command.Name} {command.Arguments}".TrimEnd();
                io.Out.WriteLine(usage.Length < HelpColumn ? usage.PadRight(HelpColumn) + command.Help : $"{usage}\n{"".PadRight(HelpColumn)}{command.Help}");
            }
        }
    }

    private int Usage(PromptCommand command)
    {
        io.Error.WriteLine($"usage: {command.Name} {command.Arguments}");
        return ExitCodes.BadInput;
    }

    /// <summary>What the last word of a line could be.</summary>
    internal IReadOnlyList<string> Complete(string line)
    {
        int begin = line.LastIndexOf(' ') + 1;
        string word = line[begin..];
        if (word.StartsWith('/'))
            return CompletePath(word);
        IEnumerable<string> names = live.Host.Guests.List().Select((GuestProcess g) => g.Name)
            .Concat(live.Source.Aliases.Values)
            .Concat(live.Host.MdevBus.Devices().Select(d => d.Name))
            .Concat(live.Host.Pci.Bus.Devices().Select(d => d.Name));
        IEnumerable<string> commands = PromptCommands.Table
            .Where(c => c.Name.StartsWith(line, StringComparison.Ordinal))
            .Select(c => c.Name[begin..]);
        return [.. commands.Concat(begin > 0 ? names.Where(n => n.StartsWith(word, StringComparison.Ordinal)) : []).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
    }

    private string[] CompletePath(string word)
    {
        int slash = word.LastIndexOf('/');
        string parent = slash == 0 ? "" : word[..slash];
        if (parent.Length == 0)
            return "/sys".StartsWith(word, StringComparison.Ordinal) ? ["/sys/"] : [];
        if (live.Host.Tree.Find(parent, out SysfsEntry found) != Errno.Ok || found.Kind == SysfsEntryKind.Attribute)
            return [];
        StringBuilder path = new();
        return
        [
            .. found.Directory.List()
                .Where(e => e.Name.StartsWith(word[(slash + 1)..], StringComparison.Ordinal))
                .Select(e => path.Clear().Append(parent).Append('/').Append(e.Name).Append(e.Kind == SysfsEntryKind.Attribute ? "" : "/").ToString())
                .Order(StringComparer.Ordinal),
        ];
    }
}

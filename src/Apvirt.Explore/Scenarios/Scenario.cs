using System.Text;
using Apvirt.Ap.Profiles;
using Apvirt.Explore.Programs;
using Apvirt.Host.Traces;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Apvirt.Explore.Scenarios;

/// <summary>What one of several callers does.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Operations">Operations of traces, one after another.</param>
public sealed record ScenarioTask(string Name, IReadOnlyList<string> Operations);

/// <summary>A machine, what is done first, and what several callers then do at once.</summary>
/// <param name="About">What it is about, in a line.</param>
/// <param name="Profile">Whose quirks apply.</param>
/// <param name="Machine">The machine: the first line of a trace.</param>
/// <param name="SetUp">Operations of traces, done before.</param>
/// <param name="Tasks">The callers.</param>
/// <param name="Beliefs">Names of statements to be disproved.</param>
/// <param name="Finding">The finding that it shows; null if none.</param>
public sealed record Scenario(
    string About, Profile Profile, string Machine, IReadOnlyList<string> SetUp, IReadOnlyList<ScenarioTask> Tasks, IReadOnlyList<string> Beliefs, string? Finding)
{
    /// <summary>Name of a historical design that is explored instead of the driver; it brings its own callers. Null for the driver.</summary>
    public string? Design { get; init; }

    /// <summary>A program of locks that is explored instead of the driver. Null for the driver.</summary>
    public ProgramText? Program { get; init; }

    /// <summary>The callers that do the same as others, by number, in groups.</summary>
    internal IEnumerable<int[]> Alike() =>
        Enumerable.Range(0, Tasks.Count).GroupBy(caller => string.Join('\n', Tasks[caller].Operations), StringComparer.Ordinal).Select(group => group.ToArray()).Where(group => group.Length > 1);

    /// <summary>Reads a scenario.</summary>
    /// <param name="file">Name of the file, for errors.</param>
    /// <param name="text">The file.</param>
    /// <param name="scenario">The scenario.</param>
    /// <returns>What is wrong, with file, line and column; null if nothing is.</returns>
    public static string? Read(string file, string text, out Scenario? scenario)
    {
        scenario = null;
        try
        {
            YamlStream stream = [];
            stream.Load(new StringReader(text));
            if (stream.Documents.Count == 0 || stream.Documents[0].RootNode is not YamlMappingNode root)
                return $"{file}:1:1: expected a mapping with about, machine, setup and tasks";
            string about = "";
            Profile profile = Profile.Strict;
            string? machine = null;
            string? finding = null;
            string? design = null;
            YamlNode? program = null;
            YamlNode? callers = null;
            bool hasQueues = true;
            List<string> setUp = [];
            List<ScenarioTask> tasks = [];
            List<string> beliefs = [];
            foreach ((YamlNode key, YamlNode value) in root.Children)
            {
                switch (((YamlScalarNode)key).Value)
                {
                    case "about":
                        about = Text(file, value);
                        break;
                    case "finding":
                        finding = Text(file, value);
                        break;
                    case "design":
                        design = Text(file, value);
                        break;
                    case "program":
                        program = value;
                        break;
                    case "queueing":
                        hasQueues = Text(file, value) switch
                        {
                            "true" => true,
                            "false" => false,
                            _ => throw At(file, value, "expected true or false"),
                        };
                        break;
                    case "profile":
                        string name = Text(file, value);
                        profile = Profile.Find(name) ?? throw At(file, value, $"profile \"{name}\" is not known; 'apvirt profiles' lists them");
                        break;
                    case "machine":
                        machine = Text(file, value);
                        if (new TraceReader(file, Encoding.UTF8.GetBytes(machine)).ReadHeader(out _) is { } error)
                            throw At(file, value, error.Message);
                        break;
                    case "beliefs":
                        foreach (YamlNode item in (value as YamlSequenceNode ?? throw At(file, value, "expected a list of beliefs")).Children)
                        {
                            string belief = Text(file, item);
                            beliefs.Add(Host.Checks.Beliefs.Find(belief) is null ? throw At(file, item, $"belief \"{belief}\" is not known; expected one of: {string.Join(", ", Host.Checks.Beliefs.Names)}") : belief);
                        }
                        break;
                    case "setup":
                        setUp.AddRange(Operations(file, value));
                        break;
                    case "tasks":
                        callers = value;
                        break;
                    case var other:
                        return $"{file}:{key.Start.Line}:{key.Start.Column}: \"{other}\" is not known; expected about, profile, finding, design, program, queueing, machine, setup, tasks or beliefs";
                }
            }
            if (program is not null)
            {
                if (machine is not null || design is not null || setUp.Count + beliefs.Count > 0)
                    return $"{file}:1:1: a program brings all that there is; expected \"program\" without machine, design, setup and beliefs";
                scenario = new Scenario(about, profile, "", [], [], [], finding) { Program = ReadProgram(file, program, callers, hasQueues) };
                return null;
            }
            foreach ((YamlNode task, YamlNode operations) in (callers as YamlMappingNode ?? (callers is null ? [] : throw At(file, callers, "expected a mapping from callers to what they do"))).Children)
                tasks.Add(new ScenarioTask(Text(file, task), Operations(file, operations)));
            if (design is not null)
            {
                if (machine is not null || setUp.Count + tasks.Count + beliefs.Count > 0)
                    return $"{file}:1:1: a design brings its own machine and callers; expected \"design\" without machine, setup, tasks and beliefs";
                scenario = new Scenario(about, profile, "", [], [], [], finding) { Design = design };
                return null;
            }
            if (machine is null)
                return $"{file}:1:1: expected \"machine\", the first line of a trace";
            if (tasks.Count == 0)
                return $"{file}:1:1: expected \"tasks\", a mapping from callers to what they do";
            scenario = new Scenario(about, profile, machine, setUp, tasks, beliefs, finding);
            return null;
        }
        catch (YamlException problem)
        {
            string message = problem.InnerException?.Message ?? problem.Message;
            return message.StartsWith(file, StringComparison.Ordinal) ? message : $"{file}:{problem.Start.Line}:{problem.Start.Column}: {message}";
        }
    }

    // The tasks stand in the program, or beside it.
    private static ProgramText ReadProgram(string file, YamlNode program, YamlNode? callers, bool hasQueues)
    {
        YamlNode tasks = callers ?? program;
        if (program is YamlMappingNode { Children.Count: > 0 } parts)
        {
            foreach ((YamlNode key, YamlNode value) in parts.Children)
            {
                if (Text(file, key) == "queueing")
                    hasQueues = Text(file, value) == "true" || (Text(file, value) == "false" ? false : throw At(file, value, "expected true or false"));
            }
            tasks = parts.Children.FirstOrDefault(part => Text(file, part.Key) == "tasks").Value ?? callers ?? program;
        }
        ProgramText text = new() { HasQueues = hasQueues };
        foreach ((YamlNode name, YamlNode code) in (tasks as YamlMappingNode ?? throw At(file, tasks, "expected a mapping from tasks to lists of instructions, as in {T1: [lock a, unlock a]}")).Children)
        {
            IList<YamlNode> instructions = (code as YamlSequenceNode ?? throw At(file, code, "expected a list of instructions, as in [lock a, unlock a]")).Children;
            if (text.Add(Text(file, name), [.. instructions.Select(instruction => Text(file, instruction))], out int wrong) is { } error)
                throw At(file, instructions[wrong], error);
        }
        return text.Tasks.Count is > 0 and <= 64 ? text : throw At(file, tasks, $"a program has from 1 to 64 tasks, not {text.Tasks.Count}");
    }

    private static List<string> Operations(string file, YamlNode node)
    {
        List<string> operations = [];
        foreach (YamlNode item in (node as YamlSequenceNode ?? throw At(file, node, "expected a list of operations")).Children)
        {
            string operation = Text(file, item);
            if (TraceReader.ReadSingle(Encoding.UTF8.GetBytes(operation), out TraceLine? line) is { } error)
                throw At(file, item, error.Message);
            line!.Dispose();
            operations.Add(operation);
        }
        return operations;
    }

    private static string Text(string file, YamlNode node) =>
        (node as YamlScalarNode)?.Value ?? throw At(file, node, "expected a text");

    private static YamlException At(string file, YamlNode node, string problem) =>
        new($"{file}:{node.Start.Line}:{node.Start.Column}: {problem}");
}

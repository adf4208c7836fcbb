using System.Globalization;
using System.Text;
using System.Text.Json;
using Apvirt.Ap.Profiles;
using Apvirt.Host.Traces;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Host.Fuzzing;

/// <summary>One operation of a plan.</summary>
/// <param name="Round">Operations of one round are under way at once; the next round begins when all have ended.</param>
/// <param name="Task">Which of the tasks does it; a task does its operations of a round in order.</param>
/// <param name="Text">The operation as a line of a trace.</param>
public sealed record FuzzStep(int Round, int Task, string Text);

/// <summary>
/// What a run does: the machine, the seed that orders its tasks, and the operations. All that happens follows from it, so
/// a plan is a file that replays exactly.
/// </summary>
/// <param name="Header">The first line of the trace: the machine.</param>
/// <param name="Seed">Seed of the scheduler.</param>
/// <param name="Profile">Whose quirks apply.</param>
/// <param name="Steps">The operations.</param>
public sealed record FuzzPlan(string Header, ulong Seed, Profile Profile, IReadOnlyList<FuzzStep> Steps)
{
    private const int OperationsOfTask = 3;

    // As many choices an operation has, about: places where priorities may change.
    private const int ChoicesOfOperation = 8;
    private const int PriorityChanges = 3;
    private const string ByPriorities = "pct";

    /// <summary>Whether tasks have drawn priorities; otherwise each step is drawn among those that can be done.</summary>
    public bool HasPriorities { get; init; }

    /// <summary>Who decides which task goes on.</summary>
    internal IChooser Chooser =>
        HasPriorities ? new PriorityChooser(Seed, PriorityChanges, Math.Max(1, Steps.Count * ChoicesOfOperation)) : new RandomChooser(Seed);

    /// <summary>Makes the plan of an episode.</summary>
    /// <param name="seed">Seed of the whole run.</param>
    /// <param name="episode">Number of the episode.</param>
    /// <param name="operations">Number of operations, at least 1.</param>
    /// <param name="tasks">Number of tasks, at least 1.</param>
    /// <param name="profile">Whose quirks apply.</param>
    public static FuzzPlan Make(ulong seed, long episode, int operations, int tasks, Profile profile)
    {
        SplitMix random = new(seed ^ ((ulong)episode * 0x9E3779B97F4A7C15));
        FuzzOperations source = new(random.Next());
        List<FuzzStep> steps = [.. source.Prelude().Take(operations).Select(text => new FuzzStep(Round: 0, Task: 0, text))];
        for (int i = steps.Count; i < operations; i++)
        {
            int round = 1 + i / (tasks * OperationsOfTask);
            steps.Add(new FuzzStep(round, random.Below(tasks), source.Next()));
        }
        return new FuzzPlan(source.Header, random.Next() | 1, profile, steps);
    }

    /// <summary>The plan as a file: a trace whose header and operations have a few fields more.</summary>
    public string ToText()
    {
        StringBuilder text = new();
        text.Append(Header.AsSpan(0, Header.Length - 1))
            .Append(string.Create(CultureInfo.InvariantCulture, $",\"fuzz\":{{\"seed\":\"{Seed}\",\"profile\":\"{Profile.Name}\"{(HasPriorities ? $",\"engine\":\"{ByPriorities}\"" : "")}}}}}\n"));
        foreach (FuzzStep step in Steps)
            text.Append(string.Create(CultureInfo.InvariantCulture, $"{step.Text.AsSpan(0, step.Text.Length - 1)},\"round\":{step.Round},\"task\":{step.Task}}}\n"));
        return text.ToString();
    }

    /// <summary>Reads a plan from a file.</summary>
    /// <param name="file">Name of the file, for errors.</param>
    /// <param name="text">The file.</param>
    /// <param name="plan">The plan.</param>
    /// <returns>What is wrong; null if nothing is.</returns>
    public static TraceError? Read(string file, ReadOnlyMemory<byte> text, out FuzzPlan? plan)
    {
        plan = null;
        TraceReader reader = new(file, text);
        if (reader.ReadHeader(out _) is { } badHeader)
            return badHeader;
        string header = Encoding.UTF8.GetString(text.Span[..text.Span.IndexOf((byte)'\n')]);
        JsonElement fields = JsonSerializer.Deserialize<JsonElement>(header);
        if (!fields.TryGetProperty("fuzz", out JsonElement fuzz)
            || !fuzz.TryGetProperty("seed", out JsonElement seedField) || !ulong.TryParse(seedField.GetString(), CultureInfo.InvariantCulture, out ulong seed)
            || !fuzz.TryGetProperty("profile", out JsonElement profileField) || Profile.Find(profileField.GetString() ?? "") is not { } profile)
            return new TraceError(file, 1, 1, "expected a field \"fuzz\" with \"seed\" and \"profile\" in the header, as 'apvirt fuzz' writes it");
        List<FuzzStep> steps = [];
        while (true)
        {
            if (reader.ReadOperation(out TraceLine? line) is { } badLine)
                return badLine;
            if (line is null)
                break;
            using (line)
            {
                int round = line.Fields.TryGetProperty("round", out JsonElement r) && r.TryGetInt32(out int inRound) ? inRound : 0;
                int task = line.Fields.TryGetProperty("task", out JsonElement t) && t.TryGetInt32(out int ofTask) ? ofTask : 0;
                steps.Add(new FuzzStep(round, task, line.Question));
            }
        }
        plan = new FuzzPlan(header[..header.IndexOf(",\"fuzz\"", StringComparison.Ordinal)] + "}", seed, profile, steps)
        {
            HasPriorities = fuzz.TryGetProperty("engine", out JsonElement engine) && engine.GetString() == ByPriorities,
        };
        return null;
    }
}

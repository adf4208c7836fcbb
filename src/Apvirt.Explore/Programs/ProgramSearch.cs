using Apvirt.Explore.Engine;
using Apvirt.Explore.Searches;
using Apvirt.Explore.Strategies;

namespace Apvirt.Explore.Programs;

/// <summary>What became of one task.</summary>
/// <param name="At">Where it is: the number of the instruction it waits at, from 0, or how many it has if it has ended.</param>
/// <param name="WaitsFor">The instruction that it waits at; null if it has ended.</param>
/// <param name="Answers">What its tries, waits with a limit and loads were answered, in order: 1 for success, 0 for failure, or what was read.</param>
public sealed record TaskOutcome(int At, string? WaitsFor, IReadOnlyList<int> Answers);

/// <summary>What became of all tasks of a program, by their names.</summary>
/// <param name="Text">The same for equal outcomes, for example <c>T1@4[1] T2@2[]</c>.</param>
/// <param name="Tasks">By task.</param>
public sealed record ProgramOutcome(string Text, IReadOnlyDictionary<string, TaskOutcome> Tasks)
{
    /// <summary>Whether some task waits for ever.</summary>
    public bool IsStuck => Tasks.Values.Any(task => task.WaitsFor is not null);

    /// <summary>A schedule that leads there: the tasks in the order of their steps.</summary>
    public required IReadOnlyList<string> Schedule { get; init; }
}

/// <summary>What one search found of a program.</summary>
/// <param name="Result">How far it came.</param>
/// <param name="Traces">How many traces: classes of executions that differ only in the order of steps which commute.</param>
/// <param name="Outcomes">The different outcomes, sorted by their texts.</param>
public sealed record ProgramResult(ExploreResult Result, long Traces, IReadOnlyList<ProgramOutcome> Outcomes);

/// <summary>Explores a program of locks.</summary>
/// <param name="text">The program.</param>
public sealed class ProgramSearch(ProgramText text)
{
    /// <summary>Called now and then while it runs.</summary>
    public Action<ExploreProgress>? Progress { get; set; }

    /// <summary>Explores.</summary>
    /// <param name="options">How and how far.</param>
    public ProgramResult Run(ExploreOptions options)
    {
        LockProgram program = text.Program;
        Lock gate = new();
        Dictionary<string, ProgramOutcome> outcomes = new(StringComparer.Ordinal);
        HashSet<UInt128> traces = [];
        ExploreResult result = new Search(options, () =>
        {
            LockProgramRun run = new(program);
            KeyChains chains = new(program.Tasks.Length);
            return new SearchWorker(run, execution =>
            {
                chains.Restart();
                for (int depth = 0; depth < execution.Depth; depth++)
                    chains.Add(execution.TaskAt(depth), execution.StepAt(depth), [], []);
                string outcome = text.OutcomeOf(run);
                lock (gate)
                {
                    traces.Add(chains.Key);
                    if (!outcomes.ContainsKey(outcome))
                        outcomes.Add(outcome, Describe(outcome, run, execution));
                }
                return true;
            });
        }) { Progress = Progress }.Run();
        return new ProgramResult(result, traces.Count, [.. outcomes.Values.OrderBy(outcome => outcome.Text, StringComparer.Ordinal)]);
    }

    private ProgramOutcome Describe(string outcome, LockProgramRun run, IExecution execution)
    {
        Dictionary<string, TaskOutcome> tasks = new(StringComparer.Ordinal);
        for (int task = 0; task < text.Tasks.Count; task++)
        {
            int at = run.At(task);
            IReadOnlyList<string> words = text.WordsOf(task);
            tasks.Add(text.Tasks[task], new TaskOutcome(at, at < words.Count ? words[at] : null, [.. run.Answers[task]]));
        }
        return new ProgramOutcome(outcome, tasks)
        {
            Schedule = [.. Enumerable.Range(0, execution.Depth).Select(depth => text.Tasks[execution.TaskAt(depth)])],
        };
    }
}

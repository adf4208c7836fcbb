namespace Apvirt.Explore.Tests.Oracle;

/// <summary>A step of an execution that is listed.</summary>
internal readonly record struct Step(int Task, int Position, StepKind Kind, int Object, long Answer);

/// <summary>A complete execution.</summary>
/// <param name="Steps">All that was done, in order.</param>
/// <param name="Outcome">What it came to, as text.</param>
internal sealed record Execution(IReadOnlyList<Step> Steps, string Outcome)
{
    /// <summary>The tasks in the order in which they stepped, which says all: what a task does next follows from the state.</summary>
    internal string Schedule => Schedules.Of(Steps);
}

/// <summary>
/// Every interleaving of a program one by one, with nothing kept from one to the next, for small programs: what
/// <see cref="BruteForce"/> is held against.
/// </summary>
internal static class AllInterleavings
{
    /// <summary>Lists the executions, or null if there are more than that.</summary>
    internal static List<Execution>? List(OracleProgram program, bool queueing, int executionsMax)
    {
        List<Execution> found = [];
        return Extend(program, queueing, executionsMax, [], found) ? found : null;
    }

    /// <summary>Counts the traces by the vector clocks of all executions.</summary>
    internal static OracleResult Explore(OracleProgram program, bool queueing = true, int executionsMax = 20_000)
    {
        List<Execution>? all = List(program, queueing, executionsMax);
        if (all is null)
            return new OracleResult(TooLarge: true, [], 0, executionsMax);
        string[] outcomes = [.. all.Select(e => e.Outcome).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        return new OracleResult(TooLarge: false, outcomes, all.Select(e => Clocks(program, e)).Distinct(StringComparer.Ordinal).Count(), all.Count);
    }

    /// <summary>Counts the traces as they are defined: executions are alike if swaps of adjacent independent steps lead from one to the other.</summary>
    internal static int TracesBySwaps(OracleProgram program, List<Execution> all)
    {
        Dictionary<string, Execution> left = all.ToDictionary(e => e.Schedule, StringComparer.Ordinal);
        int classes = 0;
        while (left.Count > 0)
        {
            classes++;
            Stack<Execution> alike = new([left.First().Value]);
            left.Remove(alike.Peek().Schedule);
            while (alike.TryPop(out Execution? execution))
            {
                char[] schedule = execution.Schedule.ToCharArray();
                for (int at = 0; at + 1 < schedule.Length; at++)
                {
                    if (Dependent(program, execution.Steps[at], execution.Steps[at + 1]))
                        continue;
                    (schedule[at], schedule[at + 1]) = (schedule[at + 1], schedule[at]);
                    if (left.Remove(new string(schedule), out Execution? swapped))
                        alike.Push(swapped);
                    (schedule[at], schedule[at + 1]) = (schedule[at + 1], schedule[at]);
                }
            }
        }
        return classes;
    }

    /// <summary>Whether two steps may not be swapped: they are of one task, or dependent at one object.</summary>
    internal static bool Dependent(OracleProgram program, Step a, Step b) =>
        a.Task == b.Task || (a.Object == b.Object && Dependence.Between(a.Kind, b.Kind, program.Objects[a.Object].Tried));

    /// <summary>The steps of each task with their vector clocks, as text: the number of each task's steps that had to come before.</summary>
    internal static string Clocks(OracleProgram program, Execution execution)
    {
        IReadOnlyList<Step> steps = execution.Steps;
        int[][] clocks = new int[steps.Count][];
        List<string>[] tasks = [.. program.Tasks.Select(_ => new List<string>())];
        for (int at = 0; at < steps.Count; at++)
        {
            int[] clock = clocks[at] = new int[tasks.Length];
            for (int earlier = 0; earlier < at; earlier++)
            {
                if (!Dependent(program, steps[earlier], steps[at]))
                    continue;
                for (int task = 0; task < clock.Length; task++)
                    clock[task] = Math.Max(clock[task], clocks[earlier][task]);
            }
            clock[steps[at].Task]++;
            tasks[steps[at].Task].Add($"{steps[at]}<{string.Join(',', clock)}>");
        }
        return string.Join('\n', tasks.Select(task => string.Join(' ', task)));
    }

    /// <summary>Does a prefix from the start, then tries each task's next step.</summary>
    private static bool Extend(OracleProgram program, bool queueing, int executionsMax, List<int> schedule, List<Execution> found)
    {
        bool ended = true;
        for (int task = 0; task < program.Tasks.Length; task++)
        {
            OracleState state = OracleState.After(program, queueing, schedule);
            if (!state.TryStep(task))
                continue;
            ended = false;
            schedule.Add(task);
            bool listed = Extend(program, queueing, executionsMax, schedule, found);
            schedule.RemoveAt(schedule.Count - 1);
            if (!listed)
                return false;
        }
        if (ended)
        {
            OracleState state = OracleState.After(program, queueing, schedule);
            found.Add(new Execution([.. state.Steps], state.Outcome));
        }
        return found.Count <= executionsMax;
    }
}

/// <summary>Schedules as text, a letter for each task.</summary>
internal static class Schedules
{
    internal static string Of(IEnumerable<Step> steps) => string.Concat(steps.Select(s => (char)('A' + s.Task)));
}

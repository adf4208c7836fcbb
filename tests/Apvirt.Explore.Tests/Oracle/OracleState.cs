namespace Apvirt.Explore.Tests.Oracle;

/// <summary>Where an execution stands, kept the plain way.</summary>
internal sealed class OracleState
{
    private readonly OracleProgram _program;
    private readonly bool _queueing;
    private readonly long[] _objects;
    private readonly int[] _positions;
    private readonly List<Step> _steps = [];

    internal OracleState(OracleProgram program, bool queueing)
    {
        _program = program;
        _queueing = queueing;
        _objects = new long[program.Objects.Length];
        _positions = new int[program.Tasks.Length];
    }

    internal IReadOnlyList<Step> Steps => _steps;

    internal string Outcome => OracleResult.Outcome(
        _positions,
        [.. _positions.Select((_, task) => (from s in _steps where s.Task == task && Semantics.HasAnswer(s.Kind) select s.Answer).ToList())]);

    /// <summary>All there is to a state, as text: objects, positions and answers.</summary>
    internal string Text => $"{string.Join(' ', _objects)}: {Outcome}";

    /// <summary>The state that a schedule leads to.</summary>
    internal static OracleState After(OracleProgram program, bool queueing, IEnumerable<int> schedule)
    {
        OracleState state = new(program, queueing);
        foreach (int task in schedule)
        {
            if (!state.TryStep(task))
                throw new InvalidOperationException($"T{task + 1} cannot step");
        }
        return state;
    }

    /// <summary>The step that a task can do next, or null.</summary>
    internal Step? Next(int task) => Next(task, out _);

    /// <summary>Does a task's next step, if it has one that is possible.</summary>
    internal bool TryStep(int task)
    {
        if (Next(task, out long after) is not { } step)
            return false;
        _positions[task] = Semantics.After(step.Position, _program.Tasks[task][step.Position], step.Kind, step.Answer);
        _objects[step.Object] = after;
        _steps.Add(step);
        return true;
    }

    private Step? Next(int task, out long after)
    {
        after = 0;
        int position = _positions[task];
        if (position == _program.Tasks[task].Length)
            return null;
        Instruction instruction = _program.Tasks[task][position];
        long state = _objects[instruction.Object];
        StepKind kind = Semantics.Next(instruction, task, state, _queueing);
        if (!Semantics.Do(kind, task, state, instruction.Value, out after, out long answer))
            return null;
        return new Step(task, position, kind, instruction.Object, answer);
    }
}

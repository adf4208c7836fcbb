using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Programs;

/// <summary>One instruction of a lock program.</summary>
/// <param name="Kind">What it does.</param>
/// <param name="Object">To which lock or completion, from 0.</param>
/// <param name="Skip">For a try: how many instructions are skipped if it fails.</param>
public readonly record struct Instruction(StepKind Kind, int Object, int Skip = 0);

/// <summary>Tasks that only lock, unlock, try, wait and complete: the smallest thing that can deadlock.</summary>
public sealed class LockProgram
{
    /// <summary>Makes a program.</summary>
    /// <param name="objects">Number of locks and completions.</param>
    /// <param name="tasks">What each task does.</param>
    public LockProgram(int objects, params IReadOnlyList<Instruction[]> tasks)
    {
        Objects = objects;
        Tasks = [.. tasks];
    }

    /// <summary>Number of locks and completions.</summary>
    public int Objects { get; }

    /// <summary>What each task does.</summary>
    public Instruction[][] Tasks { get; }

    /// <summary>A task that takes locks one within the other and releases them in reverse order.</summary>
    /// <param name="locks">The locks, outermost first.</param>
    public static Instruction[] Nest(params ReadOnlySpan<int> locks)
    {
        Instruction[] task = new Instruction[locks.Length * 2];
        for (int i = 0; i < locks.Length; i++)
        {
            task[i] = new Instruction(StepKind.Lock, locks[i]);
            task[^(i + 1)] = new Instruction(StepKind.Unlock, locks[i]);
        }
        return task;
    }
}

/// <summary>A lock program as it runs.</summary>
public sealed class LockProgramRun : IExplored
{
    private readonly Instruction[][] _tasks;
    private readonly int[] _at;
    private readonly ulong _all;

    // By object, as Step.Apply has it.
    private readonly int[] _state;

    // Whether each release is a step, because somebody tries the lock; by object.
    private readonly bool[] _releasesAreSteps;
    private readonly Step[] _released;
    private int _releasedCount;

    /// <summary>Makes a run.</summary>
    /// <param name="program">The program.</param>
    /// <param name="pointsEverywhere">Whether every release is a step, to test that it need not be.</param>
    public LockProgramRun(LockProgram program, bool pointsEverywhere = false)
    {
        _tasks = program.Tasks;
        _at = new int[_tasks.Length];
        _all = _tasks.Length == 64 ? ulong.MaxValue : (1UL << _tasks.Length) - 1;
        _state = new int[program.Objects];
        _releasesAreSteps = new bool[program.Objects];
        foreach (Instruction instruction in _tasks.SelectMany(task => task))
            _releasesAreSteps[instruction.Object] |= pointsEverywhere || instruction.Kind is StepKind.Try or StepKind.TryShared;
        _released = new Step[_tasks.Max(task => task.Length)];
        Outcomes = new List<bool>[_tasks.Length];
        for (int i = 0; i < Outcomes.Length; i++)
            Outcomes[i] = [];
    }

    /// <inheritdoc/>
    public int TaskCount => _tasks.Length;

    /// <summary>Whether each try of a task succeeded, in order.</summary>
    public List<bool>[] Outcomes { get; }

    /// <inheritdoc/>
    public ulong Enabled
    {
        get
        {
            ulong enabled = 0;
            for (int task = 0; task < _tasks.Length; task++)
            {
                if (_at[task] < _tasks[task].Length && CanDo(_tasks[task][_at[task]]))
                    enabled |= 1UL << task;
            }
            return enabled;
        }
    }

    /// <inheritdoc/>
    public ulong Unfinished
    {
        get
        {
            ulong unfinished = _all;
            for (int task = 0; task < _tasks.Length; task++)
            {
                if (_at[task] == _tasks[task].Length)
                    unfinished &= ~(1UL << task);
            }
            return unfinished;
        }
    }

    /// <inheritdoc/>
    public void Restart()
    {
        Array.Clear(_at);
        Array.Clear(_state);
        _releasedCount = 0;
        foreach (List<bool> outcomes in Outcomes)
            outcomes.Clear();
    }

    /// <inheritdoc/>
    public Step Next(int task)
    {
        ref readonly Instruction instruction = ref _tasks[task][_at[task]];
        return new Step(instruction.Kind, instruction.Object);
    }

    /// <inheritdoc/>
    public void Do(int task)
    {
        Instruction[] code = _tasks[task];
        _releasedCount = 0;
        Apply(task, code[_at[task]++]);
        while (_at[task] < code.Length && code[_at[task]] is { Kind: StepKind.Unlock or StepKind.UnlockShared } release && !_releasesAreSteps[release.Object])
        {
            Apply(task, release);
            _released[_releasedCount++] = new Step(release.Kind, release.Object);
            _at[task]++;
        }
    }

    /// <inheritdoc/>
    public ReadOnlySpan<Step> Released => _released.AsSpan(0, _releasedCount);

    /// <inheritdoc/>
    public ReadOnlySpan<Step> Accessed => [];

    private bool CanDo(in Instruction instruction) => new Step(instruction.Kind, instruction.Object).IsPossible(_state[instruction.Object]);

    private void Apply(int task, in Instruction instruction)
    {
        ref int state = ref _state[instruction.Object];
        int before = state;
        state = new Step(instruction.Kind, instruction.Object).Apply(state);
        if (instruction.Kind is not (StepKind.Try or StepKind.TryShared))
            return;
        bool succeeds = state != before;
        Outcomes[task].Add(succeeds);
        if (!succeeds)
            _at[task] += instruction.Skip;
    }
}

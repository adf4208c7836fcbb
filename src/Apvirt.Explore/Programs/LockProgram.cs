using System.Runtime.InteropServices;
using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Programs;

/// <summary>One instruction of a lock program.</summary>
/// <param name="Kind">What it does.</param>
/// <param name="Object">To which lock, completion or memory, from 0.</param>
/// <param name="Skip">How many instructions are skipped: by a try if it fails, by a read if something was written before.</param>
public readonly record struct Instruction(StepKind Kind, int Object, int Skip = 0);

/// <summary>
/// Tasks that only lock, unlock, try, wait, complete, and read and write memory: the smallest thing that can deadlock. What a
/// task reads and writes belongs to the step before it.
/// </summary>
public sealed class LockProgram
{
    /// <summary>Makes a program.</summary>
    /// <param name="objects">Number of locks, completions and pieces of memory.</param>
    /// <param name="tasks">What each task does.</param>
    public LockProgram(int objects, params IReadOnlyList<Instruction[]> tasks)
    {
        Objects = objects;
        Tasks = [.. tasks];
    }

    /// <summary>Number of locks, completions and pieces of memory.</summary>
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
    private readonly List<Step> _accessed = [];

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
        Outcomes = new List<int>[_tasks.Length];
        for (int i = 0; i < Outcomes.Length; i++)
            Outcomes[i] = [];
    }

    /// <inheritdoc/>
    public int TaskCount => _tasks.Length;

    /// <summary>For each task, in order: 1 for a try that succeeded, 0 for one that did not, and what was read.</summary>
    public List<int>[] Outcomes { get; }

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
        _accessed.Clear();
        foreach (List<int> outcomes in Outcomes)
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
        _accessed.Clear();
        Apply(task, code[_at[task]++]);
        while (_at[task] < code.Length)
        {
            Instruction next = code[_at[task]];
            if (next.Kind is StepKind.Read or StepKind.Write)
                Access(task, next);
            else if (next.Kind is StepKind.Unlock or StepKind.UnlockShared && !_releasesAreSteps[next.Object])
                Release(task, next);
            else
                return;
            _at[task]++;
        }
    }

    /// <inheritdoc/>
    public ReadOnlySpan<Step> Released => _released.AsSpan(0, _releasedCount);

    /// <inheritdoc/>
    public ReadOnlySpan<Step> Accessed => CollectionsMarshal.AsSpan(_accessed);

    private bool CanDo(in Instruction instruction) => new Step(instruction.Kind, instruction.Object).IsPossible(_state[instruction.Object]);

    private void Release(int task, in Instruction instruction)
    {
        Apply(task, instruction);
        _released[_releasedCount++] = new Step(instruction.Kind, instruction.Object);
    }

    // What is written tells from everything else that is written.
    private void Access(int task, in Instruction instruction)
    {
        if (instruction.Kind == StepKind.Write)
            _state[instruction.Object] = (task << 8) + _at[task] + 1;
        else
            Outcomes[task].Add(_state[instruction.Object]);
        if (instruction.Kind == StepKind.Read && _state[instruction.Object] != 0)
            _at[task] += instruction.Skip;
        Step access = new(instruction.Kind, instruction.Object);
        for (int i = 0; i < _accessed.Count; i++)
        {
            if (_accessed[i].Object != access.Object)
                continue;
            if (access.Kind == StepKind.Write)
                _accessed[i] = access;
            return;
        }
        _accessed.Add(access);
    }

    private void Apply(int task, in Instruction instruction)
    {
        ref int state = ref _state[instruction.Object];
        int before = state;
        state = new Step(instruction.Kind, instruction.Object).Apply(state);
        if (instruction.Kind is not (StepKind.Try or StepKind.TryShared))
            return;
        bool succeeds = state != before;
        Outcomes[task].Add(succeeds ? 1 : 0);
        if (!succeeds)
            _at[task] += instruction.Skip;
    }
}

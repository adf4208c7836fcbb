using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Programs;

/// <summary>A program of locks as it runs.</summary>
/// <remarks>
/// A release that nobody tries the lock against is no step of its own but the end of the step before it: it only lets others
/// go on, and whatever they do then they could as well do later. Everything else is a step: also an access to memory that
/// follows a release, since others may come in between.
/// </remarks>
public sealed class LockProgramRun : IExplored
{
    private readonly LockProgram _program;
    private readonly Instruction[][] _tasks;
    private readonly int[] _at;
    private readonly ulong _all;
    private readonly ObjectState[] _state;

    // By object: what is written there, if it is memory.
    private readonly int[] _memory;

    // By task: whether it has asked for the lock it stands before.
    private readonly bool[] _hasAsked;

    // Whether each release is a step, because somebody tries the lock; by object.
    private readonly bool[] _releasesAreSteps;
    private readonly Step[] _released;
    private int _releasedCount;

    /// <summary>Makes a run.</summary>
    /// <param name="program">The program.</param>
    /// <param name="pointsEverywhere">Whether every release is a step, to test that it need not be.</param>
    public LockProgramRun(LockProgram program, bool pointsEverywhere = false)
    {
        _program = program;
        _tasks = program.Tasks;
        _at = new int[_tasks.Length];
        _all = _tasks.Length == 64 ? ulong.MaxValue : (1UL << _tasks.Length) - 1;
        _state = new ObjectState[program.Objects];
        _memory = new int[program.Objects];
        _hasAsked = new bool[_tasks.Length];
        _releasesAreSteps = new bool[program.Objects];
        foreach (Instruction instruction in _tasks.SelectMany(task => task))
            _releasesAreSteps[instruction.Object] |= pointsEverywhere || instruction.Kind is StepKind.Try or StepKind.TryShared;
        _released = new Step[_tasks.Max(task => task.Length)];
        Answers = new List<int>[_tasks.Length];
        for (int i = 0; i < Answers.Length; i++)
            Answers[i] = [];
    }

    /// <inheritdoc/>
    public int TaskCount => _tasks.Length;

    /// <summary>For each task, in order: 1 for a try or wait that succeeded, 0 for one that did not, and what was read.</summary>
    public List<int>[] Answers { get; }

    /// <inheritdoc/>
    public ulong Enabled
    {
        get
        {
            ulong enabled = 0;
            for (int task = 0; task < _tasks.Length; task++)
            {
                if (_at[task] < _tasks[task].Length && Next(task) is var next && next.IsPossible(_state[next.Object]))
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
    public ulong Fingerprint
    {
        get
        {
            Fnv hash = new();
            for (int task = 0; task < _tasks.Length; task++)
            {
                hash.Add(((ulong)_at[task] << 1) | (_hasAsked[task] ? 1UL : 0));
                hash.Add((ulong)Answers[task].Count);
                foreach (int answer in Answers[task])
                    hash.Add((uint)answer);
            }
            for (int target = 0; target < _state.Length; target++)
            {
                hash.Add(((ulong)(uint)_state[target].Lock.Holders << 32) | (uint)_state[target].Lock.Askers);
                hash.Add(((ulong)(uint)_state[target].Completion.Permits << 32) | (uint)_memory[target]);
            }
            return hash.Value;
        }
    }

    /// <summary>Where a task has ended or waits: the number of an instruction, or how many there are.</summary>
    /// <param name="task">The task.</param>
    public int At(int task) => _at[task];

    /// <inheritdoc/>
    public void Restart()
    {
        Array.Clear(_at);
        Array.Clear(_state);
        Array.Clear(_memory);
        Array.Clear(_hasAsked);
        _releasedCount = 0;
        foreach (List<int> answers in Answers)
            answers.Clear();
    }

    /// <inheritdoc/>
    public Step Next(int task)
    {
        ref readonly Instruction instruction = ref _tasks[task][_at[task]];
        bool mustAsk = instruction.Kind == StepKind.Lock && _program.HasQueues && _program.IsShared[instruction.Object] && !_hasAsked[task];
        return new Step(mustAsk ? StepKind.Ask : instruction.Kind, instruction.Object);
    }

    /// <inheritdoc/>
    public void Do(int task)
    {
        Instruction[] code = _tasks[task];
        _releasedCount = 0;
        Step step = Next(task);
        Apply(task, step, code[_at[task]]);
        if (step.Kind == StepKind.Ask)
            return;
        while (_at[task] < code.Length && code[_at[task]] is { Kind: StepKind.Unlock or StepKind.UnlockShared } release && !_releasesAreSteps[release.Object])
        {
            Step released = new(release.Kind, release.Object);
            Apply(task, released, release);
            _released[_releasedCount++] = released;
        }
    }

    /// <inheritdoc/>
    public ulong WokenByTime => 0;

    /// <inheritdoc/>
    public ReadOnlySpan<Step> Released => _released.AsSpan(0, _releasedCount);

    /// <inheritdoc/>
    public bool ReleasesMayBeTried => false;

    /// <inheritdoc/>
    public ReadOnlySpan<Step> Accessed => [];

    private void Apply(int task, in Step step, in Instruction instruction)
    {
        ref ObjectState state = ref _state[step.Object];
        bool succeeds = step.Succeeds(state);
        state = step.Apply(state);
        _hasAsked[task] = step.Kind == StepKind.Ask;
        if (step.Kind == StepKind.Ask)
            return;
        _at[task]++;
        switch (step.Kind)
        {
            case StepKind.Try or StepKind.TryShared or StepKind.WaitFor or StepKind.Look:
                Answers[task].Add(succeeds ? 1 : 0);
                _at[task] += succeeds ? 0 : instruction.Skip;
                break;
            case StepKind.Write:
                _memory[step.Object] = instruction.Value;
                break;
            case StepKind.Read:
                Answers[task].Add(_memory[step.Object]);
                _at[task] += _memory[step.Object] == 0 ? instruction.Skip : 0;
                break;
        }
    }
}

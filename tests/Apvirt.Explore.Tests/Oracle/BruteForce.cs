using System.Numerics;

namespace Apvirt.Explore.Tests.Oracle;

/// <summary>
/// All executions of a program, depth first, every instruction an atomic step. What was done so far is known by its
/// partial order alone: a step's hash is that of its task's step before it, of itself and of all earlier steps at its
/// object that it depends on, so the sum of the last hashes of all tasks names the trace of a prefix, and the state that
/// it leads to. Each is visited once.
/// </summary>
internal sealed class BruteForce
{
    internal const int StatesMax = 1_000_000;

    private readonly OracleProgram _program;
    private readonly bool _queueing;
    private readonly int _statesMax;
    private readonly uint[] _dependent;
    private readonly UInt128[] _pasts;
    private readonly long[] _objects;
    private readonly int[] _positions;
    private readonly UInt128[] _last;
    private readonly List<long>[] _answers;
    private readonly HashSet<UInt128> _seen = [];
    private readonly SortedSet<string> _outcomes = new(StringComparer.Ordinal);
    private UInt128 _key;
    private int _traces;
    private bool _tooLarge;

    private BruteForce(OracleProgram program, bool queueing, int statesMax)
    {
        _program = program;
        _queueing = queueing;
        _statesMax = statesMax;
        _dependent = Dependence.Masks(program);
        _pasts = new UInt128[_dependent.Length];
        _objects = new long[program.Objects.Length];
        _positions = new int[program.Tasks.Length];
        _answers = [.. program.Tasks.Select(_ => new List<long>())];
        _last = [.. program.Tasks.Select((_, task) => Hash((UInt128)(uint)task + 1, 0, 0))];
        foreach (UInt128 last in _last)
            _key += last;
    }

    /// <summary>Visits all executions.</summary>
    /// <param name="queueing">Whether a writer that waits keeps new readers out.</param>
    /// <param name="statesMax">How many states are visited before the program is too large.</param>
    internal static OracleResult Explore(OracleProgram program, bool queueing = true, int statesMax = StatesMax)
    {
        BruteForce all = new(program, queueing, statesMax);
        all.Visit();
        return new OracleResult(all._tooLarge, [.. all._outcomes], all._traces, all._seen.Count);
    }

    private void Visit()
    {
        if (!_seen.Add(_key))
            return;
        if (_seen.Count > _statesMax)
        {
            _tooLarge = true;
            return;
        }
        bool ended = true;
        for (int task = 0; task < _positions.Length && !_tooLarge; task++)
        {
            if (TryVisitAfter(task))
                ended = false;
        }
        if (ended)
        {
            _traces++;
            _outcomes.Add(OracleResult.Outcome(_positions, _answers));
        }
    }

    /// <summary>Does a task's next step, visits what follows and takes the step back.</summary>
    private bool TryVisitAfter(int task)
    {
        int position = _positions[task];
        if (position == _program.Tasks[task].Length)
            return false;
        Instruction instruction = _program.Tasks[task][position];
        long state = _objects[instruction.Object];
        StepKind kind = Semantics.Next(instruction, task, state, _queueing);
        if (!Semantics.Do(kind, task, state, instruction.Value, out long after, out long answer))
            return false;

        int own = instruction.Object * Dependence.Kinds + (int)kind;
        UInt128 past = 0;
        for (uint kinds = _dependent[own]; kinds != 0; kinds &= kinds - 1)
            past += _pasts[instruction.Object * Dependence.Kinds + BitOperations.TrailingZeroCount(kinds)];
        UInt128 before = _last[task];
        UInt128 hash = Hash(before, (ulong)position << 32 | (uint)own, past + (UInt128)(ulong)answer * 0x9E3779B97F4A7C15);

        _objects[instruction.Object] = after;
        _positions[task] = Semantics.After(position, instruction, kind, answer);
        if (Semantics.HasAnswer(kind))
            _answers[task].Add(answer);
        _pasts[own] += hash;
        _last[task] = hash;
        _key += hash - before;

        Visit();

        _key -= hash - before;
        _last[task] = before;
        _pasts[own] -= hash;
        if (Semantics.HasAnswer(kind))
            _answers[task].RemoveAt(_answers[task].Count - 1);
        _positions[task] = position;
        _objects[instruction.Object] = state;
        return true;
    }

    private static UInt128 Hash(UInt128 before, ulong step, UInt128 past)
    {
        ulong low = Mix((ulong)before + step * 0xD6E8FEB86659FD93);
        ulong high = Mix((ulong)(before >> 64) ^ (step * 0xA0761D6478BD642F + 0xE7037ED1A0B428DB));
        low = Mix(low + (ulong)past * 0x8EBC6AF09C88C6E3 + high);
        high = Mix(high ^ ((ulong)(past >> 64) * 0x589965CC75374CC3) ^ BitOperations.RotateLeft(low, 29));
        return new UInt128(high, low);
    }

    private static ulong Mix(ulong x)
    {
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }
}

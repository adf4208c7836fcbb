using System.Numerics;
using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Strategies;

/// <summary>
/// The key of what was done so far: one chain of hashes for each task, 128 bits wide. Two sequences have the same key if and, but
/// for chance, only if they differ in the order of things alone that commute.
/// </summary>
/// <remarks>
/// It has a relation of its own, stated otherwise than that of the reduced search: what is done to an object looks at or changes
/// some of its aspects, each in a manner; manners commute with themselves or with nothing. What is done adds the sums of the
/// hashes of all that was done before in other manners. Sums, since the order of what commutes must not show.
/// </remarks>
/// <param name="tasks">The most tasks.</param>
/// <param name="hole">A kind of step that is left out of what follows from what, to see that the audit speaks; null for none.</param>
internal sealed class KeyChains(int tasks, StepKind? hole = null)
{
    private enum Aspect : byte
    {
        Holders,
        Askers,
        Permits,
        Value,
    }

    // In this order in the sums. Take commutes with nothing, the others each with itself.
    private enum Manner : byte
    {
        Look,
        Add,
        Clear,
        Take,
    }

    private const int Manners = 4;
    private const int Sums = 4 * Manners;

    // By kind.
    private static readonly (Aspect Aspect, Manner Manner)[][] Does = MakeTable();

    private readonly UInt128[] _chains = new UInt128[tasks];
    private readonly List<int> _touched = [];

    // By object: sums by aspect and manner.
    private UInt128[]?[] _sums = [];

    /// <summary>The key.</summary>
    internal UInt128 Key
    {
        get
        {
            UInt128 key = 0x9E3779B97F4A7C15;
            foreach (UInt128 chain in _chains)
                key = Mix(key, chain);
            return key;
        }
    }

    internal void Restart()
    {
        Array.Clear(_chains);
        foreach (int target in _touched)
            Array.Clear(_sums[target]!);
        _touched.Clear();
    }

    /// <summary>A step was done.</summary>
    /// <param name="task">By which task.</param>
    /// <param name="point">What it did first.</param>
    /// <param name="released">What it released.</param>
    /// <param name="accessed">What it accessed.</param>
    /// <param name="wokenByTime">The tasks that time woke then, which is none of the step's doing.</param>
    internal void Add(int task, in Step point, ReadOnlySpan<Step> released, ReadOnlySpan<Step> accessed, ulong wokenByTime = 0)
    {
        Follow(task, point);
        foreach (Step access in accessed)
            Follow(task, access);
        foreach (Step release in released)
        {
            if (release.Object >= tasks || (wokenByTime >> release.Object & 1) == 0)
                Follow(task, release);
        }
        if (wokenByTime == 0)
            return;
        UInt128 all = Key;
        for (ulong rest = wokenByTime; rest != 0; rest &= rest - 1)
        {
            ref UInt128 woken = ref _chains[BitOperations.TrailingZeroCount(rest)];
            woken = Mix(woken, all);
        }
    }

    private void Follow(int task, in Step step)
    {
        ref UInt128 chain = ref _chains[task];
        chain = Mix(chain, ((ulong)step.Kind << 32) | (uint)step.Object);
        if (step.Kind == StepKind.Local || step.Kind == hole)
            return;
        UInt128[] sums = SumsOf(step.Object);
        UInt128 before = 0;
        foreach ((Aspect aspect, Manner manner) in Does[(int)step.Kind])
        {
            int first = (int)aspect * Manners;
            for (int other = 0; other < Manners; other++)
            {
                if (other != (int)manner || manner == Manner.Take)
                    before += sums[first + other];
            }
        }
        chain = Mix(chain, before);
        foreach ((Aspect aspect, Manner manner) in Does[(int)step.Kind])
            sums[((int)aspect * Manners) + (int)manner] += chain;
    }

    private UInt128[] SumsOf(int target)
    {
        if (target >= _sums.Length)
            Array.Resize(ref _sums, Math.Max(target + 1, _sums.Length * 2));
        UInt128[]? sums = _sums[target];
        if (sums is null)
            _sums[target] = sums = new UInt128[Sums + 1];
        // The last one says whether it is in the list of what must be cleared.
        if (sums[Sums] == 0)
        {
            sums[Sums] = 1;
            _touched.Add(target);
        }
        return sums;
    }

    // Two independent mixes of 64 bits each (SplitMix64's finaliser), of which each sees both halves.
    private static UInt128 Mix(UInt128 hash, UInt128 value)
    {
        ulong low = Finish(((ulong)hash ^ (ulong)value) + (0x9E3779B97F4A7C15 * (ulong)(value >> 64)) + 0x632BE59BD9B4E019);
        ulong high = Finish((ulong)(hash >> 64) + (ulong)value * 0xD1B54A32D192ED03 + (ulong)(value >> 64) + low);
        return new UInt128(high, Finish(low + high));
    }

    private static ulong Finish(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    private static (Aspect, Manner)[][] MakeTable()
    {
        (Aspect, Manner)[][] table = new (Aspect, Manner)[(int)StepKind.Write + 1][];
        table[(int)StepKind.Local] = [];
        table[(int)StepKind.Lock] = [(Aspect.Holders, Manner.Take)];
        table[(int)StepKind.LockShared] = [(Aspect.Holders, Manner.Add), (Aspect.Askers, Manner.Look)];
        table[(int)StepKind.LockRecursive] = [(Aspect.Holders, Manner.Add)];
        table[(int)StepKind.Ask] = [(Aspect.Askers, Manner.Add)];
        table[(int)StepKind.Unlock] = [(Aspect.Holders, Manner.Take)];
        table[(int)StepKind.UnlockShared] = [(Aspect.Holders, Manner.Add)];
        table[(int)StepKind.Try] = [(Aspect.Holders, Manner.Take), (Aspect.Askers, Manner.Look), (Aspect.Permits, Manner.Take)];
        table[(int)StepKind.TryShared] = [(Aspect.Holders, Manner.Add), (Aspect.Askers, Manner.Look)];
        table[(int)StepKind.Complete] = [(Aspect.Permits, Manner.Add)];
        table[(int)StepKind.CompleteAll] = [(Aspect.Permits, Manner.Add)];
        table[(int)StepKind.Reset] = [(Aspect.Permits, Manner.Clear)];
        table[(int)StepKind.Look] = [(Aspect.Permits, Manner.Look)];
        table[(int)StepKind.Wait] = [(Aspect.Permits, Manner.Take)];
        table[(int)StepKind.WaitFor] = [(Aspect.Permits, Manner.Take)];
        table[(int)StepKind.Read] = [(Aspect.Value, Manner.Look)];
        table[(int)StepKind.Add] = [(Aspect.Value, Manner.Add)];
        table[(int)StepKind.Write] = [(Aspect.Value, Manner.Take)];
        return table;
    }
}

namespace Apvirt.Explore.Engine;

/// <summary>What a task does in a step to one object.</summary>
public enum StepKind : byte
{
    /// <summary>Nothing that another task could notice.</summary>
    Local,
    /// <summary>Acquires exclusively, when it can.</summary>
    Lock,
    /// <summary>Acquires shared, when it can.</summary>
    LockShared,
    /// <summary>Releases an exclusive hold, where somebody may try to acquire.</summary>
    Unlock,
    /// <summary>Releases a shared hold, where somebody may try to acquire.</summary>
    UnlockShared,
    /// <summary>Acquires exclusively or finds that it cannot.</summary>
    Try,
    /// <summary>Acquires shared or finds that it cannot.</summary>
    TryShared,
    /// <summary>Completes once.</summary>
    Complete,
    /// <summary>Takes one completion, when there is one.</summary>
    Wait,
    /// <summary>Reads memory, within a step.</summary>
    Read,
    /// <summary>Writes memory, within a step.</summary>
    Write,
}

/// <summary>A step: what is done to which object. A step goes on until the task is about to do the next.</summary>
/// <param name="Kind">What.</param>
/// <param name="Object">Number of the object, from 0.</param>
public readonly record struct Step(StepKind Kind, int Object)
{
    // By kind: with which kinds, done to the same object by another task, the order makes a difference.
    private static readonly ushort[] Conflicting = MakeTable();

    /// <summary>Whether it makes a difference which of two steps of different tasks comes first.</summary>
    /// <param name="other">The other step.</param>
    public bool ConflictsWith(in Step other) => Object == other.Object && (Conflicting[(int)Kind] >> (int)other.Kind & 1) != 0;

    /// <summary>Whether the step may have to wait until it can be done.</summary>
    public bool MayWait => Kind is StepKind.Lock or StepKind.LockShared or StepKind.Wait;

    /// <summary>Whether the step can be done.</summary>
    /// <param name="state">State of its object: -1 held exclusively, 0 free, else the number of shared holds or completions.</param>
    public bool IsPossible(int state) => Kind switch
    {
        StepKind.Lock => state == 0,
        StepKind.LockShared => state >= 0,
        StepKind.Wait => state > 0,
        _ => true,
    };

    /// <summary>What the step makes of the state of its object.</summary>
    /// <param name="state">The state before.</param>
    public int Apply(int state) => Kind switch
    {
        StepKind.Lock => -1,
        StepKind.Unlock => 0,
        StepKind.LockShared or StepKind.Complete => state + 1,
        StepKind.UnlockShared or StepKind.Wait => state - 1,
        StepKind.Try => state == 0 ? -1 : state,
        StepKind.TryShared => state >= 0 ? state + 1 : state,
        _ => state,
    };

    private static ushort[] MakeTable()
    {
        ushort[] table = new ushort[11];
        Conflict(StepKind.Lock, StepKind.Lock, StepKind.LockShared, StepKind.Unlock, StepKind.UnlockShared, StepKind.Try, StepKind.TryShared);
        Conflict(StepKind.LockShared, StepKind.Unlock, StepKind.Try);
        Conflict(StepKind.Unlock, StepKind.Try, StepKind.TryShared);
        Conflict(StepKind.UnlockShared, StepKind.Try);
        Conflict(StepKind.Try, StepKind.Try, StepKind.TryShared);
        Conflict(StepKind.Complete, StepKind.Wait);
        Conflict(StepKind.Wait, StepKind.Wait);
        Conflict(StepKind.Write, StepKind.Read, StepKind.Write);
        return table;

        void Conflict(StepKind one, params ReadOnlySpan<StepKind> others)
        {
            foreach (StepKind other in others)
            {
                table[(int)one] |= (ushort)(1 << (int)other);
                table[(int)other] |= (ushort)(1 << (int)one);
            }
        }
    }
}

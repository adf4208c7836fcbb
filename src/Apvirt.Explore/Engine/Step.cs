using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Explore.Engine;

/// <summary>What a task does in a step to one object.</summary>
public enum StepKind : byte
{
    /// <summary>Nothing that another task could notice.</summary>
    Local,
    /// <summary>Acquires exclusively, when it can.</summary>
    Lock,
    /// <summary>Acquires shared, when it can: not while somebody has asked for it exclusively.</summary>
    LockShared,
    /// <summary>Acquires shared, when it can, whoever has asked for it.</summary>
    LockRecursive,
    /// <summary>Asks to acquire exclusively, and waits from here on.</summary>
    Ask,
    /// <summary>Releases an exclusive hold; a step of its own where somebody may try to acquire.</summary>
    Unlock,
    /// <summary>Releases a shared hold; a step of its own where somebody may try to acquire.</summary>
    UnlockShared,
    /// <summary>Acquires exclusively or finds that it cannot.</summary>
    Try,
    /// <summary>Acquires shared or finds that it cannot.</summary>
    TryShared,
    /// <summary>Completes once.</summary>
    Complete,
    /// <summary>Completes for all, from now on.</summary>
    CompleteAll,
    /// <summary>Takes back what was completed.</summary>
    Reset,
    /// <summary>Looks whether a wait would go through.</summary>
    Look,
    /// <summary>Takes one completion, when there is one.</summary>
    Wait,
    /// <summary>Takes one completion, or finds that time is up first.</summary>
    WaitFor,
    /// <summary>Reads memory.</summary>
    Read,
    /// <summary>Adds to memory, in an order that makes no difference to others who add.</summary>
    Add,
    /// <summary>Writes memory.</summary>
    Write,
}

/// <summary>The state of an object, by the rule of locks or by that of completions (DESIGN R2: there is no other).</summary>
/// <param name="Lock">If it is a lock.</param>
/// <param name="Completion">If it is a completion.</param>
public readonly record struct ObjectState(LockState Lock, CompletionState Completion);

/// <summary>A step: what is done to which object. A step goes on until the task is about to do the next.</summary>
/// <param name="Kind">What.</param>
/// <param name="Object">Number of the object, from 0.</param>
public readonly record struct Step(StepKind Kind, int Object)
{
    // By kind: with which kinds, done to the same object by another task, the order makes a difference.
    private static readonly uint[] Conflicting = MakeTable();

    /// <summary>Whether it makes a difference which of two steps of different tasks comes first.</summary>
    /// <param name="other">The other step.</param>
    public bool ConflictsWith(in Step other) => Object == other.Object && (Conflicting[(int)Kind] >> (int)other.Kind & 1) != 0;

    /// <summary>Whether the step may have to wait until it can be done.</summary>
    public bool MayWait => Kind is StepKind.Lock or StepKind.LockShared or StepKind.LockRecursive or StepKind.Wait;

    /// <summary>Whether the step can be done.</summary>
    /// <param name="state">State of its object.</param>
    public bool IsPossible(in ObjectState state) => Kind switch
    {
        StepKind.Lock => state.Lock.MayGrant(LockMode.Write),
        StepKind.LockShared => state.Lock.MayGrant(LockMode.Read),
        StepKind.LockRecursive => state.Lock.MayGrant(LockMode.RecursiveRead),
        StepKind.Wait => state.Completion.MayPass,
        _ => true,
    };

    /// <summary>What the step makes of the state of its object.</summary>
    /// <param name="state">The state before.</param>
    public ObjectState Apply(in ObjectState state) => Kind switch
    {
        // Where one must ask, whoever is granted it has asked.
        StepKind.Lock => state with { Lock = state.Lock.Granted(LockMode.Write, hasAsked: state.Lock.Askers > 0) },
        StepKind.LockShared or StepKind.LockRecursive => state with { Lock = state.Lock.Granted(LockMode.Read) },
        StepKind.Ask => state with { Lock = state.Lock.Asked() },
        StepKind.Unlock => state with { Lock = state.Lock.Released(LockMode.Write) },
        StepKind.UnlockShared => state with { Lock = state.Lock.Released(LockMode.Read) },
        StepKind.Try => Succeeds(state) ? state with { Lock = state.Lock.Granted(LockMode.Write) } : state,
        StepKind.TryShared => Succeeds(state) ? state with { Lock = state.Lock.Granted(LockMode.Read) } : state,
        StepKind.Complete => state with { Completion = state.Completion.Completed() },
        StepKind.CompleteAll => state with { Completion = CompletionState.All },
        StepKind.Reset => state with { Completion = CompletionState.None },
        StepKind.Wait or StepKind.WaitFor => state.Completion.MayPass ? state with { Completion = state.Completion.Passed() } : state,
        _ => state,
    };

    /// <summary>For what may fail: whether it succeeds.</summary>
    /// <param name="state">State of its object.</param>
    public bool Succeeds(in ObjectState state) => Kind switch
    {
        StepKind.Try => state.Lock.MayTry(LockMode.Write),
        StepKind.TryShared => state.Lock.MayTry(LockMode.Read),
        StepKind.WaitFor or StepKind.Look => state.Completion.MayPass,
        _ => true,
    };

    private static uint[] MakeTable()
    {
        uint[] table = new uint[(int)StepKind.Write + 1];
        Conflict(StepKind.Lock, StepKind.Lock, StepKind.LockShared, StepKind.LockRecursive, StepKind.Unlock, StepKind.UnlockShared, StepKind.Try, StepKind.TryShared);
        Conflict(StepKind.LockShared, StepKind.Ask, StepKind.Unlock, StepKind.Try);
        Conflict(StepKind.LockRecursive, StepKind.Unlock, StepKind.Try);
        Conflict(StepKind.Ask, StepKind.Try, StepKind.TryShared);
        Conflict(StepKind.Unlock, StepKind.Try, StepKind.TryShared);
        Conflict(StepKind.UnlockShared, StepKind.Try);
        Conflict(StepKind.Try, StepKind.Try, StepKind.TryShared);
        Conflict(StepKind.Complete, StepKind.Reset, StepKind.Look, StepKind.Wait, StepKind.WaitFor);
        Conflict(StepKind.CompleteAll, StepKind.Reset, StepKind.Look, StepKind.Wait, StepKind.WaitFor);
        Conflict(StepKind.Reset, StepKind.Look, StepKind.Wait, StepKind.WaitFor);
        Conflict(StepKind.Look, StepKind.Wait, StepKind.WaitFor);
        // A file that is deleted is looked at by name too (ActiveReferences: deleting is a try, entering a shared one).
        Conflict(StepKind.Look, StepKind.Try);
        Conflict(StepKind.Wait, StepKind.Wait, StepKind.WaitFor);
        Conflict(StepKind.WaitFor, StepKind.WaitFor);
        Conflict(StepKind.Add, StepKind.Read);
        Conflict(StepKind.Write, StepKind.Read, StepKind.Add, StepKind.Write);
        return table;

        void Conflict(StepKind one, params ReadOnlySpan<StepKind> others)
        {
            foreach (StepKind other in others)
            {
                table[(int)one] |= 1U << (int)other;
                table[(int)other] |= 1U << (int)one;
            }
        }
    }
}

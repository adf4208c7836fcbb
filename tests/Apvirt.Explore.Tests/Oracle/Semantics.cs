namespace Apvirt.Explore.Tests.Oracle;

/// <summary>
/// What steps do, as functions of one number: the state of the step's object. Of a mutex or a spin lock that is the mask of
/// its holder, of an event its permits (<see cref="ForEver"/> after a complete-all), of memory its value, and of a
/// reader/writer lock three masks of eight tasks each: who reads, who writes and who has asked to write and still waits.
/// </summary>
internal static class Semantics
{
    internal const long ForEver = -1;

    private const long Mask = 0xFF;
    private const int Writes = 8;
    private const int Waits = 16;

    /// <summary>Whether such a step appends an answer to its task's list.</summary>
    internal static bool HasAnswer(StepKind kind) =>
        kind is StepKind.Try or StepKind.TryRead or StepKind.TryWrite or StepKind.TimedWait or StepKind.Load;

    /// <summary>The step that a task does next at an instruction, given the state of the instruction's object.</summary>
    internal static StepKind Next(Instruction instruction, int task, long state, bool queueing) =>
        instruction.Kind == StepKind.Grant && queueing && ((state >> Waits) & (1L << task)) == 0 ? StepKind.Ask : instruction.Kind;

    /// <summary>The position of a task after a step of it.</summary>
    internal static int After(int position, Instruction instruction, StepKind kind, long answer)
    {
        if (kind == StepKind.Ask)
            return position;
        return position + 1 + (HasAnswer(kind) && answer == 0 ? instruction.Skip : 0);
    }

    /// <summary>Does a step, if it is possible in that state.</summary>
    /// <returns>Whether it is possible.</returns>
    internal static bool Do(StepKind kind, int task, long state, long value, out long after, out long answer)
    {
        long own = 1L << task;
        long reads = state & Mask;
        long writes = (state >> Writes) & Mask;
        long waits = (state >> Waits) & Mask;
        after = state;
        answer = 0;
        switch (kind)
        {
            case StepKind.Lock:
                after = own;
                return state == 0;
            case StepKind.Unlock:
                Require(state == own, kind, task);
                after = 0;
                return true;
            case StepKind.Try:
                answer = state == 0 ? 1 : 0;
                after = state == 0 ? own : state;
                return true;
            case StepKind.Ask:
                after = state | (own << Waits);
                return true;
            case StepKind.Grant:
                after = own << Writes | (waits & ~own) << Waits;
                return reads == 0 && writes == 0;
            case StepKind.WriteUnlock:
                Require(writes == own, kind, task);
                after = state & ~(own << Writes);
                return true;
            case StepKind.ReadLock:
                Require((reads & own) == 0, kind, task);
                after = state | own;
                return writes == 0 && waits == 0;
            case StepKind.ReadUnlock:
                Require((reads & own) != 0, kind, task);
                after = state & ~own;
                return true;
            case StepKind.TryRead:
                Require((reads & own) == 0, kind, task);
                answer = writes == 0 && waits == 0 ? 1 : 0;
                after = answer == 1 ? state | own : state;
                return true;
            case StepKind.TryWrite:
                answer = reads == 0 && writes == 0 && waits == 0 ? 1 : 0;
                after = answer == 1 ? own << Writes : state;
                return true;
            case StepKind.Complete:
                after = state == ForEver ? ForEver : state + 1;
                return true;
            case StepKind.CompleteAll:
                after = ForEver;
                return true;
            case StepKind.Reset:
                after = 0;
                return true;
            case StepKind.Wait:
                after = state == ForEver ? ForEver : state - 1;
                return state != 0;
            case StepKind.TimedWait:
                answer = state == 0 ? 0 : 1;
                after = state is 0 or ForEver ? state : state - 1;
                return true;
            case StepKind.Load:
                answer = state;
                return true;
            case StepKind.Store:
                after = value;
                return true;
            default:
                throw new ArgumentOutOfRangeException(nameof(kind));
        }
    }

    private static void Require(bool kept, StepKind kind, int task)
    {
        if (!kept)
            throw new InvalidOperationException($"the program is wrong: T{task + 1} does {kind} with the lock held otherwise");
    }
}

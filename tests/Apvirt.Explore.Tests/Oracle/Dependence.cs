namespace Apvirt.Explore.Tests.Oracle;

/// <summary>
/// Which steps of different tasks at one object are dependent, that is: whose order makes two executions different. A
/// release is dependent only where a try can see it; else its order follows from that of what it lets through.
/// </summary>
internal static class Dependence
{
    /// <summary>How many kinds of steps there are.</summary>
    internal const int Kinds = (int)StepKind.Store + 1;

    /// <summary>Whether the order of two steps at one object matters.</summary>
    /// <param name="tried">Whether some task of the program tries the object.</param>
    internal static bool Between(StepKind a, StepKind b, bool tried) => Ordered(a, b, tried) || Ordered(b, a, tried);

    /// <summary>For each object and kind of step (<c>object * Kinds + kind</c>), the mask of the kinds it depends on there.</summary>
    internal static uint[] Masks(OracleProgram program)
    {
        uint[] masks = new uint[program.Objects.Length * Kinds];
        for (int at = 0; at < masks.Length; at++)
        {
            for (int other = 0; other < Kinds; other++)
            {
                if (Between((StepKind)(at % Kinds), (StepKind)other, program.Objects[at / Kinds].Tried))
                    masks[at] |= 1u << other;
            }
        }
        return masks;
    }

    private static bool Ordered(StepKind a, StepKind b, bool tried) => (a, b) switch
    {
        (StepKind.Lock, StepKind.Lock or StepKind.Try) or (StepKind.Try, StepKind.Try) => true,
        (StepKind.Unlock, StepKind.Lock or StepKind.Try) => tried,

        (StepKind.Grant, StepKind.Grant or StepKind.ReadLock) => true,
        (StepKind.Ask, StepKind.ReadLock or StepKind.TryRead or StepKind.TryWrite) => true,
        (StepKind.TryWrite, StepKind.Grant or StepKind.ReadLock or StepKind.TryWrite or StepKind.TryRead) => true,
        (StepKind.TryRead, StepKind.Grant) => true,
        (StepKind.WriteUnlock, StepKind.TryRead or StepKind.TryWrite or StepKind.Grant or StepKind.ReadLock) => tried,
        (StepKind.ReadUnlock, StepKind.TryWrite or StepKind.Grant) => tried,

        (StepKind.Wait or StepKind.TimedWait, StepKind.Wait or StepKind.TimedWait) => true,
        (StepKind.Wait or StepKind.TimedWait or StepKind.Reset, StepKind.Complete or StepKind.CompleteAll) => true,
        (StepKind.Reset, StepKind.Wait or StepKind.TimedWait) => true,

        (StepKind.Store, StepKind.Store or StepKind.Load) => true,
        _ => false,
    };
}

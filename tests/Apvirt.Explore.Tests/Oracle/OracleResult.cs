using System.Text;

namespace Apvirt.Explore.Tests.Oracle;

/// <summary>What all executions of a program come to.</summary>
/// <param name="TooLarge">The limit was reached: the rest is what was found until then.</param>
/// <param name="Outcomes">The outcomes, each as its text, in ordinal order.</param>
/// <param name="Traces">How many executions there are that differ by more than swaps of adjacent independent steps.</param>
/// <param name="Visited">How many states, or executions where these were listed one by one, were visited.</param>
internal sealed record OracleResult(bool TooLarge, IReadOnlyList<string> Outcomes, int Traces, int Visited)
{
    /// <summary>The text of an outcome, as <c>T1@4[1,0] T2@1[]</c>: where each task ended or waits, and its answers.</summary>
    internal static string Outcome(ReadOnlySpan<int> positions, IReadOnlyList<IReadOnlyList<long>> answers)
    {
        StringBuilder text = new();
        for (int task = 0; task < positions.Length; task++)
        {
            text.Append(task == 0 ? "T" : " T").Append(task + 1).Append('@').Append(positions[task]).Append('[');
            text.AppendJoin(',', answers[task]).Append(']');
        }
        return text.ToString();
    }
}

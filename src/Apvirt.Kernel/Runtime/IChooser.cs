namespace Apvirt.Kernel.Runtime;

/// <summary>
/// Decides who goes on wherever several tasks could: for simulation, which fuzzing runs on, and for schedules that exploration
/// draws. What it decides depends on its seed and the number of the execution alone.
/// </summary>
public interface IChooser
{
    /// <summary>Is about to choose for an execution.</summary>
    /// <param name="number">Its number, from 0: whoever chooses for it chooses the same.</param>
    void Begin(long number);

    /// <summary>Which of several tasks goes on.</summary>
    /// <param name="able">Numbers of the tasks that can go on, each once; at least one.</param>
    /// <param name="running">The last of them stands at a point and could go on without a switch; false if none does.</param>
    /// <returns>An index of <paramref name="able"/>.</returns>
    int Choose(ReadOnlySpan<int> able, bool running);
}

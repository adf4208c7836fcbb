namespace Apvirt.Explore.Engine;

/// <summary>
/// Something whose every interleaving can be explored: tasks, each about to do a step. It must be deterministic: the same
/// choices lead to the same steps.
/// </summary>
public interface IExplored
{
    /// <summary>The most tasks that there can be, at most 64.</summary>
    int TaskCount { get; }

    /// <summary>The tasks that can do their step now, as bits.</summary>
    ulong Enabled { get; }

    /// <summary>The tasks that have not ended, as bits.</summary>
    ulong Unfinished { get; }

    /// <summary>Begins again from the start.</summary>
    void Restart();

    /// <summary>The step that a task is about to do.</summary>
    /// <param name="task">A task that has not ended.</param>
    Step Next(int task);

    /// <summary>Lets a task do its step and go on to the next.</summary>
    /// <param name="task">An enabled task.</param>
    void Do(int task);

    /// <summary>The releases within the step that was just done, which are no steps of their own.</summary>
    ReadOnlySpan<Step> Released { get; }

    /// <summary>The memory that the step that was just done has read and written, each object once.</summary>
    ReadOnlySpan<Step> Accessed { get; }
}

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

    /// <summary>Lets a task do its step and go on to the next. Only for what has no tasks that stand in the middle of their code.</summary>
    /// <param name="task">An enabled task.</param>
    void Do(int task);

    /// <summary>Lets tasks do their steps, one after another.</summary>
    /// <param name="next">
    /// Called before the first step, and after each: the task that does the next; negative to end. Whatever thread it is called
    /// on, it is called on one at a time.
    /// </param>
    void Drive(Func<int> next)
    {
        for (int task = next(); task >= 0; task = next())
            Do(task);
    }

    /// <summary>The releases within the step that was just done, which are no steps of their own.</summary>
    ReadOnlySpan<Step> Released { get; }

    /// <summary>
    /// The tasks that time has woken after the step that was just done, as bits. Time passes when nobody can go on, so what they
    /// do follows from all that was done, whoever did the last step.
    /// </summary>
    ulong WokenByTime { get; }

    /// <summary>Whether the step that was just done was a turn of callers that can be exchanged.</summary>
    Turn Turn => Turn.None;

    /// <summary>
    /// Whether somebody could go on and may not, since it would take the turn of another that does the same and never takes it
    /// here. The execution is no whole one then; it is told with the two exchanged.
    /// </summary>
    bool IsHeldBack => false;

    /// <summary>Whether somebody may try to acquire what a step releases, so that it makes a difference when; if not, such releases are steps.</summary>
    bool ReleasesMayBeTried { get; }

    /// <summary>The memory that the step that was just done has read and written, each object once.</summary>
    ReadOnlySpan<Step> Accessed { get; }

    /// <summary>
    /// What can be told of the present state without knowing what led to it: what each task stands before, what it holds, what
    /// was answered. Two states that one key stands for must have the same (reference: the audit of known prefixes).
    /// </summary>
    ulong Fingerprint { get; }
}

namespace Apvirt.Explore.Engine;

/// <summary>Something whose tasks may stand in the middle of their code, where it can be decided at once who goes on.</summary>
internal interface IStandsAmid
{
    /// <summary>
    /// Called when the step of a task is over and the task stands in the middle of its code. True: the same task goes on with its
    /// next step. False: it stays there. Null: it always stays there.
    /// </summary>
    Func<int, bool>? GoesOn { get; set; }
}

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

    /// <summary>
    /// The tasks that time has woken after the step that was just done, as bits. Time passes when nobody can go on, so what they
    /// do follows from all that was done, whoever did the last step.
    /// </summary>
    ulong WokenByTime { get; }

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

using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Kernel.Runtime;

/// <summary>
/// Carries tasks that may stand still in the middle of their code, where they do not await. With one, points may also lie
/// before releases, spin sections and accesses.
/// </summary>
public interface IStepCarrier
{
    /// <summary>Runs a step of a task until the task awaits or ends, or until it stands still and somebody goes on beside it.</summary>
    /// <param name="task">Number of the task.</param>
    /// <param name="step">The step.</param>
    void Run(int task, Action step);

    /// <summary>Lets a task that stands still go on, as <see cref="Run"/> does.</summary>
    /// <param name="task">Number of the task.</param>
    void GoOn(int task);

    /// <summary>Called by a step: the task stands still until it is let go on.</summary>
    /// <param name="task">Number of the task.</param>
    /// <exception cref="OperationCanceledException">The execution is given up; nobody looks at what the task does from here on.</exception>
    void Stand(int task);
}

/// <summary>Is told of what happens within a step that is none of its own.</summary>
public interface IStepListener
{
    /// <summary>A synchronisation object was used within the step: a release, something completed, a look.</summary>
    /// <param name="target">The object.</param>
    /// <param name="kind">What was done to it.</param>
    void Acted(object target, PointKind kind);

    /// <summary>A field that is shared is about to be accessed, under its locks or not.</summary>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="rule">What is stated of the field.</param>
    /// <param name="part">The part of it; null for the whole.</param>
    /// <param name="kind">How.</param>
    void Accessed(object owner, FieldRule rule, string? part, AccessKind kind);

    /// <summary>A spin lock was taken or released within the step.</summary>
    /// <param name="spinLock">The lock.</param>
    /// <param name="isReleased">Whether it was released.</param>
    void Passed(KernelSpinLock spinLock, bool isReleased);

    /// <summary>A task stands at a point.</summary>
    /// <param name="task">The task.</param>
    void Arrived(SteppedTask task);

    /// <summary>A task stands in the middle of its code, before a release, a spin section or an access.</summary>
    /// <param name="task">The task.</param>
    void Standing(SteppedTask task);

    /// <summary>Asked when a task stands in the middle of its code: whether it goes on at once, as its next step.</summary>
    /// <param name="task">The task.</param>
    bool GoesOn(SteppedTask task);

    /// <summary>A task was started or woken.</summary>
    /// <param name="task">The task.</param>
    void Woken(SteppedTask task);
}

namespace Apvirt.Explore.Engine;

/// <summary>A complete execution.</summary>
public interface IExecution
{
    /// <summary>Number of its steps.</summary>
    int Depth { get; }

    /// <summary>The task that did a step.</summary>
    /// <param name="depth">Number of the step, from 0.</param>
    int TaskAt(int depth);

    /// <summary>A step.</summary>
    /// <param name="depth">Number of the step, from 0.</param>
    Step StepAt(int depth);

    /// <summary>The memory that a step has read and written.</summary>
    /// <param name="depth">Number of the step, from 0.</param>
    IReadOnlyList<Step> AccessedAt(int depth);
}

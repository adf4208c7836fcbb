namespace Apvirt.Explore.Engine;

/// <summary>An execution.</summary>
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
}

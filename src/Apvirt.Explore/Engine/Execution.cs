namespace Apvirt.Explore.Engine;

/// <summary>The steps of the present execution, who did them and what they did first.</summary>
internal sealed class Execution : IExecution
{
    private int[] _tasks = new int[32];
    private Step[] _steps = new Step[32];

    /// <inheritdoc/>
    public int Depth { get; private set; }

    /// <inheritdoc/>
    public int TaskAt(int depth) => _tasks[depth];

    /// <inheritdoc/>
    public Step StepAt(int depth) => _steps[depth];

    internal ReadOnlySpan<int> Tasks => _tasks.AsSpan(0, Depth);

    internal void Restart() => Depth = 0;

    internal void Add(int task, in Step step)
    {
        if (Depth == _tasks.Length)
        {
            Array.Resize(ref _tasks, Depth * 2);
            Array.Resize(ref _steps, Depth * 2);
        }
        _tasks[Depth] = task;
        _steps[Depth++] = step;
    }
}

namespace Apvirt.Kernel.Runtime;

/// <summary>
/// Numbers of tasks by who started them and as which: the same in all executions and on all threads of a search, whatever
/// the order in which they are started.
/// </summary>
/// <param name="max">The most tasks.</param>
public sealed class TaskNumbers(int max)
{
    // Guards _numbers; a leaf.
    private readonly Lock _gate = new();
    private readonly Dictionary<string, int> _numbers = new(StringComparer.Ordinal);

    /// <summary>The number of a task.</summary>
    /// <param name="path">Who started it and as which.</param>
    /// <exception cref="InvalidOperationException">There are too many.</exception>
    internal int Of(string path)
    {
        lock (_gate)
        {
            if (_numbers.TryGetValue(path, out int number))
                return number;
            if (_numbers.Count == max)
                throw new InvalidOperationException($"more than {max} tasks cannot be explored");
            _numbers.Add(path, number = _numbers.Count);
            return number;
        }
    }
}

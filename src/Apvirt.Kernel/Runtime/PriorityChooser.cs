namespace Apvirt.Kernel.Runtime;

/// <summary>
/// Tasks have drawn priorities, and the one of the highest goes on; at a few drawn choices it becomes the one of the lowest. So
/// what needs few switches is found soon, with a probability that can be stated: S. Burckhardt, P. Kothari, M. Musuvathi and
/// S. Nagarakatte, "A randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010.
/// </summary>
/// <param name="seed">Execution n of one seed has nothing in common with those of any other.</param>
/// <param name="changes">How many times priorities change in an execution, from 0.</param>
/// <param name="length">How many choices an execution has, about; at least 1.</param>
public sealed class PriorityChooser(ulong seed, int changes, int length) : IChooser
{
    private readonly Dictionary<int, long> _priorities = [];
    private readonly List<int> _changesAt = [];
    private SplitMix _random;
    private int _choices;

    /// <inheritdoc/>
    public void Begin(long number)
    {
        _random = SplitMix.Of(seed, number);
        _choices = 0;
        _priorities.Clear();
        _changesAt.Clear();
        for (int i = 0; i < changes; i++)
            _changesAt.Add(_random.Below(length));
    }

    /// <inheritdoc/>
    public int Choose(ReadOnlySpan<int> able, bool running)
    {
        int first = First(able);
        // Two changes may have been drawn for one choice.
        while (_changesAt.Remove(_choices))
        {
            _priorities[able[first]] = -_choices - 1;
            first = First(able);
        }
        _choices++;
        return first;
    }

    private int First(ReadOnlySpan<int> able)
    {
        int first = 0;
        for (int i = 0; i < able.Length; i++)
        {
            if (PriorityOf(able[i]) > PriorityOf(able[first]))
                first = i;
        }
        return first;
    }

    private long PriorityOf(int task)
    {
        if (!_priorities.TryGetValue(task, out long priority))
            _priorities.Add(task, priority = 1 + (long)(_random.Next() >> 34));
        return priority;
    }
}

namespace Apvirt.Explore.Engine;

/// <summary>
/// Numbers of what steps touch, by name: the same in all executions and on all threads of a search, because what a sleeping
/// task would touch was seen in another execution. Things of one name count as one, which only tries more orders.
/// </summary>
public sealed class FieldNumbers
{
    // Guards _numbers; a leaf.
    private readonly Lock _gate = new();
    private readonly Dictionary<string, int> _numbers = new(StringComparer.Ordinal);

    internal int Of(string name)
    {
        lock (_gate)
        {
            if (!_numbers.TryGetValue(name, out int number))
                _numbers.Add(name, number = _numbers.Count);
            return number;
        }
    }
}

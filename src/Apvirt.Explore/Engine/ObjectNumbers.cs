namespace Apvirt.Explore.Engine;

/// <summary>
/// Numbers of what steps are about, by name: the same in all executions and on all threads of a search, because what a sleeping
/// task would touch was seen in another execution. Fields of one name count as one, which only tries more orders.
/// </summary>
public sealed class ObjectNumbers
{
    // Guards the two collections; a leaf.
    private readonly Lock _gate = new();
    private readonly Dictionary<string, int> _numbers = new(StringComparer.Ordinal);
    private readonly List<string> _names = [];

    internal int Of(string name)
    {
        lock (_gate)
        {
            if (!_numbers.TryGetValue(name, out int number))
            {
                _numbers.Add(name, number = _numbers.Count);
                _names.Add(name);
            }
            return number;
        }
    }

    internal string NameOf(int number)
    {
        lock (_gate)
            return _names[number];
    }
}

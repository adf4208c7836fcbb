namespace Apvirt.Kernel.Runtime;

/// <summary>
/// A random walk: each of those that can go on is as likely as the others. Where a task stands at a point, it goes on without
/// a switch every second time.
/// </summary>
/// <param name="seed">Execution n of one seed has nothing in common with those of any other.</param>
public sealed class RandomChooser(ulong seed) : IChooser
{
    private SplitMix _random;

    /// <inheritdoc/>
    public void Begin(long number) => _random = SplitMix.Of(seed, number);

    /// <inheritdoc/>
    public int Choose(ReadOnlySpan<int> able, bool running)
    {
        if (running && (_random.Next() & 1) == 0)
            return able.Length - 1;
        int others = running ? able.Length - 1 : able.Length;
        return others > 1 ? _random.Below(others) : 0;
    }
}

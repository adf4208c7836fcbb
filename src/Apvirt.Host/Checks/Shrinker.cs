namespace Apvirt.Host.Checks;

/// <summary>
/// Makes a list that fails smaller: takes out what it does not need to fail, large parts first (A. Zeller and R. Hildebrandt,
/// "Simplifying and isolating failure-inducing input", 2002). The operations of a plan and the switches of a schedule are such lists.
/// </summary>
public static class Shrinker
{
    /// <summary>Shrinks a list.</summary>
    /// <typeparam name="T">Type of what is in it.</typeparam>
    /// <param name="items">A list that fails.</param>
    /// <param name="fails">Whether a smaller list still fails.</param>
    /// <param name="triesMax">The most lists to try.</param>
    /// <returns>The smallest list found that fails; nothing can be taken out of it alone, unless the tries were used up.</returns>
    public static IReadOnlyList<T> Shrink<T>(IReadOnlyList<T> items, Func<IReadOnlyList<T>, bool> fails, int triesMax)
    {
        int tries = 0;
        for (int size = Math.Max(1, items.Count / 2); size >= 1; size /= 2)
        {
            bool hasShrunk = true;
            while (hasShrunk)
            {
                hasShrunk = false;
                for (int at = items.Count - size; at >= 0 && tries < triesMax; at -= size)
                {
                    T[] smaller = [.. items.Take(at), .. items.Skip(at + size)];
                    tries++;
                    if (!fails(smaller))
                        continue;
                    items = smaller;
                    hasShrunk = true;
                }
            }
        }
        return items;
    }
}

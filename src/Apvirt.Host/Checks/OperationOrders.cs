namespace Apvirt.Host.Checks;

/// <summary>The orders in which operations can come one after another.</summary>
public static class OperationOrders
{
    /// <summary>All orders, each as the numbers of the operations.</summary>
    /// <param name="count">How many operations there are.</param>
    /// <param name="precedes">Whether one must come before another.</param>
    public static IEnumerable<int[]> All(int count, Func<int, int, bool> precedes) => All([], [.. Enumerable.Range(0, count)], precedes);

    private static IEnumerable<int[]> All(int[] done, int[] left, Func<int, int, bool> precedes)
    {
        if (left.Length == 0)
            yield return done;
        foreach (int next in left)
        {
            if (Array.Exists(left, other => other != next && precedes(other, next)))
                continue;
            foreach (int[] order in All([.. done, next], [.. left.Where(i => i != next)], precedes))
                yield return order;
        }
    }
}

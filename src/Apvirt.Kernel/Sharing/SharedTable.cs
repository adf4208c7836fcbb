using System.Globalization;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Kernel.Sharing;

/// <summary>
/// Things by number, without a lock of the driver's: a <see cref="SharedMap{TKey, TValue}"/> whose names are small numbers, at
/// one reference for each and in their order. Who looks for one number does not meet who puts something at another; whoever
/// walks meets every change.
/// </summary>
/// <typeparam name="T">Type of the things.</typeparam>
/// <param name="owner">The object that has the table.</param>
/// <param name="field">What the table is.</param>
/// <param name="size">How many numbers there are, from 0.</param>
public sealed class SharedTable<T>(object owner, SharedField field, int size)
    where T : class
{
    private readonly T?[] _slots = new T?[size];

    /// <summary>What has a number, null for nothing.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="number">The number, within the table.</param>
    public T? Read(KernelRuntime runtime, int number)
    {
        if (runtime.IsTold)
            runtime.Accessed(owner, field, PartOf(number), AccessKind.Read);
        return Volatile.Read(ref _slots[number]);
    }

    /// <summary>Gives a number to something, whatever had it.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="number">The number, within the table.</param>
    /// <param name="value">What gets it; null takes the number back.</param>
    public void Write(KernelRuntime runtime, int number, T? value)
    {
        if (runtime.IsTold)
        {
            // One after the other: nobody comes between the two.
            runtime.Accessed(owner, field, PartOf(number), AccessKind.Write);
            runtime.AccessedToo(owner, field, part: null, AccessKind.Write);
        }
        Volatile.Write(ref _slots[number], value);
    }

    /// <summary>All things that have numbers, ascending; one that comes or goes during the walk may or may not be among them.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    public IEnumerable<T> Walk(KernelRuntime runtime)
    {
        if (runtime.IsTold)
            runtime.Accessed(owner, field, part: null, AccessKind.Read);
        for (int i = 0; i < _slots.Length; i++)
        {
            if (Volatile.Read(ref _slots[i]) is { } value)
                yield return value;
        }
    }

    private static string PartOf(int number) => number.ToString(CultureInfo.InvariantCulture);
}

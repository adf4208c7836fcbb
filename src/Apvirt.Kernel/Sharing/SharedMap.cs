using System.Diagnostics.CodeAnalysis;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Kernel.Sharing;

/// <summary>
/// Things by name, without a lock of the driver's: each access is atomic on real threads and announces itself, with the name
/// that it is about, so that who looks for one name does not meet who adds another. Whoever looks at all meets every change.
/// </summary>
/// <typeparam name="TKey">Type of the names.</typeparam>
/// <typeparam name="TValue">Type of the things.</typeparam>
/// <param name="owner">The object that has the map.</param>
/// <param name="field">What the map is.</param>
public sealed class SharedMap<TKey, TValue>(object owner, SharedField field)
    where TKey : notnull
{
    // Guards _entries; a leaf, of which nobody outside knows.
    private readonly Lock _gate = new();
    private readonly Dictionary<TKey, TValue> _entries = typeof(TKey) == typeof(string) ? new((IEqualityComparer<TKey>)(object)StringComparer.Ordinal) : [];

    /// <summary>Finds what has a name.</summary>
    /// <param name="runtime">The runtime of the owner; null while nobody else can reach it.</param>
    /// <param name="key">The name.</param>
    /// <param name="value">What has it.</param>
    public bool TryGet(KernelRuntime? runtime, TKey key, [MaybeNullWhen(false)] out TValue value)
    {
        if (runtime is { IsTold: true })
            runtime.Accessed(owner, field, $"{key}", AccessKind.Read);
        lock (_gate)
            return _entries.TryGetValue(key, out value);
    }

    /// <summary>Finds what has a name, without making a text of it.</summary>
    /// <param name="runtime">The runtime of the owner; null while nobody else can reach it.</param>
    /// <param name="name">The name; names of this map are texts.</param>
    /// <param name="value">What has it.</param>
    public bool TryGet(KernelRuntime? runtime, ReadOnlySpan<char> name, [MaybeNullWhen(false)] out TValue value)
    {
        if (runtime is { IsTold: true })
            runtime.Accessed(owner, field, name.ToString(), AccessKind.Read);
        lock (_gate)
            return _entries.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(name, out value);
    }

    /// <summary>Gives a name to something, unless something has it.</summary>
    /// <param name="runtime">The runtime of the owner; null while nobody else can reach it.</param>
    /// <param name="key">The name.</param>
    /// <param name="value">What gets it.</param>
    /// <returns>Whether it has the name now.</returns>
    public bool TryAdd(KernelRuntime? runtime, TKey key, TValue value)
    {
        AnnounceChange(runtime, key);
        lock (_gate)
            return _entries.TryAdd(key, value);
    }

    /// <summary>Gives a name to something, whatever had it.</summary>
    /// <param name="runtime">The runtime of the owner; null while nobody else can reach it.</param>
    /// <param name="key">The name.</param>
    /// <param name="value">What gets it.</param>
    public void Set(KernelRuntime? runtime, TKey key, TValue value)
    {
        AnnounceChange(runtime, key);
        lock (_gate)
            _entries[key] = value;
    }

    /// <summary>Finds what has a name, or makes it; nobody comes in between.</summary>
    /// <param name="runtime">The runtime of the owner; null while nobody else can reach it.</param>
    /// <param name="key">The name.</param>
    /// <param name="make">Makes it; has no effect of its own and touches nothing that is shared.</param>
    public TValue GetOrAdd(KernelRuntime? runtime, TKey key, Func<TKey, TValue> make)
    {
        AnnounceChange(runtime, key);
        lock (_gate)
        {
            if (!_entries.TryGetValue(key, out TValue? value))
                _entries.Add(key, value = make(key));
            return value;
        }
    }

    /// <summary>Takes a name back.</summary>
    /// <param name="runtime">The runtime of the owner; null while nobody else can reach it.</param>
    /// <param name="key">The name.</param>
    /// <param name="value">What had it.</param>
    /// <returns>Whether anything had it.</returns>
    public bool Remove(KernelRuntime? runtime, TKey key, [MaybeNullWhen(false)] out TValue value)
    {
        AnnounceChange(runtime, key);
        lock (_gate)
            return _entries.Remove(key, out value);
    }

    /// <summary>All things that have names.</summary>
    /// <param name="runtime">The runtime of the owner; null while nobody else can reach it.</param>
    public TValue[] Values(KernelRuntime? runtime)
    {
        if (runtime is { IsTold: true })
            runtime.Accessed(owner, field, part: null, AccessKind.Read);
        lock (_gate)
            return [.. _entries.Values];
    }

    /// <summary>All names and what has them.</summary>
    /// <param name="runtime">The runtime of the owner; null while nobody else can reach it.</param>
    public KeyValuePair<TKey, TValue>[] ToArray(KernelRuntime? runtime)
    {
        if (runtime is { IsTold: true })
            runtime.Accessed(owner, field, part: null, AccessKind.Read);
        lock (_gate)
            return [.. _entries];
    }

    // One after the other: nobody comes between the two.
    private void AnnounceChange(KernelRuntime? runtime, TKey key)
    {
        if (runtime is not { IsTold: true })
            return;
        runtime.Accessed(owner, field, $"{key}", AccessKind.Write);
        runtime.AccessedToo(owner, field, part: null, AccessKind.Write);
    }
}

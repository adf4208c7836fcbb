using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Kernel.Sharing;

/// <summary>
/// A field without a lock. Each access is atomic on real threads, and announces itself to whoever watches the runtime; while
/// nobody does, it costs a predictable branch. As large as its value, which is a reference or at most eight bytes: a test
/// looks at every such field.
/// </summary>
/// <typeparam name="T">Type of the value: a reference, a number, a truth value or an enumeration.</typeparam>
public struct Shared<T>
{
    private T _value;

    /// <summary>Makes a field with a first value; nobody else can see it yet.</summary>
    /// <param name="value">The value.</param>
    public Shared(T value) => _value = value;

    /// <summary>Reads the value. What was written before the value was is seen too.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="field">What the field is.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly T Read(KernelRuntime runtime, object owner, SharedField field)
    {
        if (runtime.IsTold)
            runtime.Accessed(owner, field, part: null, AccessKind.Read);
        T value = _value;
        Volatile.ReadBarrier();
        return value;
    }

    /// <summary>Writes the value.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="field">What the field is.</param>
    /// <param name="value">The value.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Write(KernelRuntime runtime, object owner, SharedField field, T value)
    {
        if (runtime.IsTold)
            runtime.Accessed(owner, field, part: null, AccessKind.Write);
        Volatile.WriteBarrier();
        _value = value;
    }

    /// <summary>Writes a value and gives the one before; nobody comes in between.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="field">What the field is.</param>
    /// <param name="value">The value.</param>
    public T Exchange(KernelRuntime runtime, object owner, SharedField field, T value)
    {
        if (runtime.IsTold)
            runtime.Accessed(owner, field, part: null, AccessKind.Write);
        return Interlocked.Exchange(ref _value, value);
    }

    /// <summary>Writes a value if the field has another; nobody comes in between.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="field">What the field is.</param>
    /// <param name="from">The value that it must have.</param>
    /// <param name="to">The value that it then gets.</param>
    /// <returns>Whether it was written.</returns>
    public bool TryChange(KernelRuntime runtime, object owner, SharedField field, T from, T to)
    {
        if (runtime.IsTold)
            runtime.Accessed(owner, field, part: null, AccessKind.Write);
        return EqualityComparer<T>.Default.Equals(Interlocked.CompareExchange(ref _value, to, from), from);
    }

    /// <summary>Makes a new value of the old one; nobody comes in between.</summary>
    /// <typeparam name="TWith">Type of what is needed to make it.</typeparam>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="field">What the field is.</param>
    /// <param name="with">What is needed to make it.</param>
    /// <param name="change">Makes the new value; called again if somebody else was faster, so it has no effect of its own.</param>
    /// <returns>The new value.</returns>
    public T Update<TWith>(KernelRuntime runtime, object owner, SharedField field, TWith with, Func<T, TWith, T> change)
    {
        if (runtime.IsTold)
            runtime.Accessed(owner, field, part: null, AccessKind.Write);
        while (true)
        {
            T before = _value;
            Volatile.ReadBarrier();
            T after = change(before, with);
            if (EqualityComparer<T>.Default.Equals(Interlocked.CompareExchange(ref _value, after, before), before))
                return after;
        }
    }
}

using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Checking;

/// <summary>
/// A field that locks guard. Every access names the task and the rule, announces itself to whoever watches, and is checked
/// while checks are on; while nobody watches it costs a predictable branch. As large as its value.
/// </summary>
/// <typeparam name="T">Type of the value.</typeparam>
public struct Guarded<T>
{
    private T _value;

    /// <summary>Makes a field with a first value; nobody else can see it yet.</summary>
    /// <param name="value">The value.</param>
    public Guarded(T value) => _value = value;

    /// <summary>
    /// The value as somebody sees it who holds no lock: it may be old at once. The access is announced like any other, so that
    /// the race detector finds a driver that decides by it.
    /// </summary>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="rule">The rule of the field.</param>
    [UnscopedRef]
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly ref readonly T Glance(KernelRuntime runtime, object owner, GuardRule rule)
    {
        if (runtime.IsTold)
            runtime.Accessed(owner, rule, part: null, AccessKind.Glance);
        return ref _value;
    }

    /// <summary>Reads the value.</summary>
    /// <typeparam name="TOwner">Type of the object that has the field.</typeparam>
    /// <param name="task">The reading task.</param>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="rule">The rule of the field.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    [UnscopedRef]
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly ref readonly T Read<TOwner>(
        KernelTask task, TOwner owner, GuardRule<TOwner> rule, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (task.IsWatched)
            rule.CheckRead(task, owner, file, line);
        return ref _value;
    }

    /// <summary>Writes the value.</summary>
    /// <typeparam name="TOwner">Type of the object that has the field.</typeparam>
    /// <param name="task">The writing task.</param>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="rule">The rule of the field.</param>
    /// <param name="value">The value.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Write<TOwner>(
        KernelTask task, TOwner owner, GuardRule<TOwner> rule, in T value, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (task.IsWatched)
            rule.CheckWrite(task, owner, file, line);
        _value = value;
    }

    /// <summary>Gives the value to change it in place.</summary>
    /// <typeparam name="TOwner">Type of the object that has the field.</typeparam>
    /// <param name="task">The writing task.</param>
    /// <param name="owner">The object that has the field.</param>
    /// <param name="rule">The rule of the field.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    [UnscopedRef]
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref T Change<TOwner>(
        KernelTask task, TOwner owner, GuardRule<TOwner> rule, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        if (task.IsWatched)
            rule.CheckWrite(task, owner, file, line);
        return ref _value;
    }
}

using System.Runtime.CompilerServices;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Kernel.Sharing;

/// <summary>
/// Several fields that change together, without a lock of the driver's: they can only be reached between entering and leaving,
/// where nobody else is, and each entry announces itself. Nothing is called and nothing awaited in between.
/// </summary>
/// <typeparam name="T">The fields: a class or structure that nobody else has.</typeparam>
/// <param name="owner">The object that has them, whose name is the same in every execution.</param>
/// <param name="field">What they are.</param>
/// <param name="value">Their first values.</param>
public sealed class SharedState<T>(object owner, SharedField field, T value)
{
    // Guards _value; a leaf, of which nobody outside knows.
    private readonly Lock _gate = new();
    private T _value = value;

    /// <summary>Enters; to be used in a <c>using</c> statement.</summary>
    /// <param name="runtime">The runtime of the owner; null while nobody else can reach it.</param>
    /// <param name="kind">What is done to the fields.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Section Enter(KernelRuntime? runtime, AccessKind kind)
    {
        if (runtime is { IsTold: true })
            runtime.Accessed(owner, field, part: null, kind);
        return Take(runtime);
    }

    /// <summary>Enters for a part of what is there: others who are there for other parts do not matter, who changes the whole does.</summary>
    /// <typeparam name="TPart">Type of the part's name.</typeparam>
    /// <param name="runtime">The runtime of the owner; null while nobody else can reach it.</param>
    /// <param name="part">The part.</param>
    /// <param name="kind">What is done to it.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Section Enter<TPart>(KernelRuntime? runtime, TPart part, AccessKind kind)
        where TPart : notnull
    {
        if (runtime is { IsTold: true })
        {
            runtime.Accessed(owner, field, part.ToString(), kind);
            runtime.AccessedToo(owner, field, part: null, AccessKind.Read);
        }
        return Take(runtime);
    }

    // Callers that share one thread cannot meet here, unless they stand still in the middle of their code: what is between
    // entering and leaving is one step.
    private Section Take(KernelRuntime? runtime)
    {
        if (runtime is { IsSerial: true, IsTold: false })
            return new Section(ref _value, gate: null, explored: null);
        return TakeGate(runtime);
    }

    private Section TakeGate(KernelRuntime? runtime)
    {
        Lock? gate = runtime is { IsSerial: true } ? null : _gate;
        gate?.Enter();
        KernelRuntime? explored = runtime is { IsTold: true } ? runtime : null;
        explored?.EntersSection();
        return new Section(ref _value, gate, explored);
    }

    /// <summary>Being inside; disposing it leaves.</summary>
    public readonly ref struct Section
    {
        private readonly ref T _value;
        private readonly Lock? _gate;
        private readonly KernelRuntime? _explored;

        internal Section(ref T value, Lock? gate, KernelRuntime? explored)
        {
            _value = ref value;
            _gate = gate;
            _explored = explored;
        }

        /// <summary>The fields.</summary>
        public ref T Value => ref _value;

        /// <summary>Leaves.</summary>
        public void Dispose()
        {
            _explored?.LeavesSection();
            _gate?.Exit();
        }
    }
}

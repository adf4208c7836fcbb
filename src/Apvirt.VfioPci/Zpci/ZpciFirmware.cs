using System.Collections.Immutable;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.VfioPci.Zpci;

/// <summary>A step of the firmware that can be made to fail.</summary>
public enum ZpciStep
{
    /// <summary>Enabling a function.</summary>
    Enable,
    /// <summary>Disabling a function.</summary>
    Disable,
    /// <summary>Registering the table of DMA translations.</summary>
    RegisterTranslation,
    /// <summary>Allocating memory for an association with a VM.</summary>
    Allocate,
    /// <summary>Initialising the configuration after the function was opened.</summary>
    Configure,
    /// <summary>Allocating a summary bit.</summary>
    AllocateBit,
    /// <summary>Allocating the guest's interrupt vector.</summary>
    AllocateVector,
    /// <summary>Registering interrupts.</summary>
    RegisterInterrupts,
    /// <summary>Deregistering interrupts.</summary>
    DeregisterInterrupts,
}

/// <summary>The firmware of one PCI function of an IBM Z machine: its handle, and who may interpret its instructions (zpci.md §1).</summary>
public sealed class ZpciFirmware
{
    private const uint EnabledBit = 0x80000000;
    private const uint Generation = 0x10000;

    private readonly KernelRuntime _runtime;
    private readonly SharedState<State> _state;

    // Summary is the summary bit that interrupts set, null while they are not forwarded; faults are how often steps shall fail.
    private readonly record struct State(uint Handle, uint Gisa, int Translations, int? Summary, ImmutableDictionary<ZpciStep, int> Faults)
    {
        internal bool IsEnabled => (Handle & EnabledBit) != 0;
    }

    /// <summary>Makes the firmware of a function that is not enabled.</summary>
    /// <param name="runtime">The runtime of those who use it.</param>
    /// <param name="fid">Number of the function.</param>
    /// <param name="number">Tells its handles from those of the other functions of the machine, below 65536.</param>
    /// <param name="canInterpret">Whether the machine can interpret a guest's instructions.</param>
    public ZpciFirmware(KernelRuntime runtime, uint fid, uint number, bool canInterpret = true)
    {
        _runtime = runtime;
        Fid = fid;
        CanInterpret = canInterpret;
        _state = new SharedState<State>(this, PciFields.Firmware, new State(number & (Generation - 1), 0, 0, null, ImmutableDictionary<ZpciStep, int>.Empty));
    }

    /// <summary>Number of the function.</summary>
    public uint Fid { get; }

    /// <summary>Whether the machine can interpret a guest's instructions.</summary>
    public bool CanInterpret { get; }

    /// <summary>The most interrupts that the function has.</summary>
    public int InterruptsMax { get; init; } = 256;

    /// <summary>The handle; another one after each enabling and disabling.</summary>
    public uint Handle => Read().Handle;

    /// <summary>Whether the function is enabled.</summary>
    public bool IsEnabled => Read().IsEnabled;

    /// <summary>The GISA designation that the function was enabled with, 0 for none: whose guest may use it without the host.</summary>
    public uint Gisa => Read().Gisa;

    /// <summary>Translation tables that are registered; 0 or 1 (I38).</summary>
    public int Translations => Read().Translations;

    /// <summary>The summary bit that an interrupt sets; null while interrupts are not forwarded.</summary>
    internal int? Summary => Read().Summary;

    /// <summary>Lets a step fail.</summary>
    /// <param name="step">The step.</param>
    /// <param name="times">How often.</param>
    public void Inject(ZpciStep step, int times = 1)
    {
        using SharedState<State>.Section section = _state.Enter(_runtime, AccessKind.Write);
        ref State state = ref section.Value;
        state = state with { Faults = state.Faults.SetItem(step, times) };
    }

    /// <inheritdoc/>
    public override string ToString() => $"firmware of function {Fid:x}";

    internal bool Fails(KernelTask task, ZpciStep step)
    {
        using SharedState<State>.Section section = _state.Enter(task.Runtime, AccessKind.Write);
        return Fails(ref section.Value, step);
    }

    /// <summary>Enables the function for a GISA.</summary>
    internal Errno Enable(KernelTask task, uint gisa)
    {
        using SharedState<State>.Section section = _state.Enter(task.Runtime, AccessKind.Write);
        ref State state = ref section.Value;
        if (Fails(ref state, ZpciStep.Enable))
            return Errno.EIO;
        state = state with { Handle = (state.Handle + Generation) | EnabledBit, Gisa = gisa };
        return Errno.Ok;
    }

    /// <summary>Disables it: EINVAL if it is disabled.</summary>
    internal Errno Disable(KernelTask task)
    {
        using SharedState<State>.Section section = _state.Enter(task.Runtime, AccessKind.Write);
        ref State state = ref section.Value;
        if (Fails(ref state, ZpciStep.Disable))
            return Errno.EIO;
        if (!state.IsEnabled)
            return Errno.EINVAL;
        state = state with { Handle = (state.Handle + Generation) & ~EnabledBit, Gisa = 0, Translations = 0, Summary = null };
        return Errno.Ok;
    }

    /// <summary>Registers a table of translations. A function that is not enabled has none, which is no error: it is to be recovered.</summary>
    internal Errno RegisterTranslation(KernelTask task)
    {
        using SharedState<State>.Section section = _state.Enter(task.Runtime, AccessKind.Write);
        ref State state = ref section.Value;
        if (Fails(ref state, ZpciStep.RegisterTranslation))
            return Errno.EIO;
        state = state with { Translations = state.Translations + (state.IsEnabled ? 1 : 0) };
        return Errno.Ok;
    }

    internal void UnregisterTranslation(KernelTask task)
    {
        using SharedState<State>.Section section = _state.Enter(task.Runtime, AccessKind.Write);
        ref State state = ref section.Value;
        state = state with { Translations = state.Translations - 1 };
    }

    /// <summary>Interrupts set a summary bit from now on.</summary>
    internal Errno RegisterInterrupts(KernelTask task, int bit)
    {
        using SharedState<State>.Section section = _state.Enter(task.Runtime, AccessKind.Write);
        ref State state = ref section.Value;
        if (Fails(ref state, ZpciStep.RegisterInterrupts))
            return Errno.EIO;
        state = state with { Summary = bit };
        return Errno.Ok;
    }

    /// <summary>Interrupts set no summary bit any more.</summary>
    /// <param name="task">The task.</param>
    /// <param name="force">Whether the function goes anyway, and a failure does not matter.</param>
    internal Errno DeregisterInterrupts(KernelTask task, bool force)
    {
        using SharedState<State>.Section section = _state.Enter(task.Runtime, AccessKind.Write);
        ref State state = ref section.Value;
        if (Fails(ref state, ZpciStep.DeregisterInterrupts) && !force)
            return Errno.EIO;
        state = state with { Summary = null };
        return Errno.Ok;
    }

    private static bool Fails(ref State state, ZpciStep step)
    {
        if (!state.Faults.TryGetValue(step, out int times) || times == 0)
            return false;
        state = state with { Faults = state.Faults.SetItem(step, times - 1) };
        return true;
    }

    private State Read()
    {
        using SharedState<State>.Section section = _state.Enter(_runtime, AccessKind.Read);
        return section.Value;
    }
}

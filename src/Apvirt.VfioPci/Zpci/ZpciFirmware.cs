using Apvirt.Kernel;
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
/// <param name="fid">Number of the function.</param>
/// <param name="number">Tells its handles from those of the other functions of the machine, below 65536.</param>
/// <param name="canInterpret">Whether the machine can interpret a guest's instructions.</param>
public sealed class ZpciFirmware(uint fid, uint number, bool canInterpret = true)
{
    private const uint EnabledBit = 0x80000000;
    private const uint Generation = 0x10000;

    private readonly Dictionary<ZpciStep, int> _faults = [];
    private uint _handle = number & (Generation - 1);

    /// <summary>Number of the function.</summary>
    public uint Fid => fid;

    /// <summary>Whether the machine can interpret a guest's instructions.</summary>
    public bool CanInterpret => canInterpret;

    /// <summary>The most interrupts that the function has.</summary>
    public int InterruptsMax { get; init; } = 256;

    /// <summary>The handle; another one after each enabling and disabling.</summary>
    public uint Handle => _handle;

    /// <summary>Whether the function is enabled.</summary>
    public bool IsEnabled => (_handle & EnabledBit) != 0;

    /// <summary>The GISA designation that the function was enabled with, 0 for none: whose guest may use it without the host.</summary>
    public uint Gisa { get; private set; }

    /// <summary>Translation tables that are registered; 0 or 1 (I38).</summary>
    public int Translations { get; private set; }

    /// <summary>Lets a step fail.</summary>
    /// <param name="step">The step.</param>
    /// <param name="times">How often.</param>
    public void Inject(ZpciStep step, int times = 1) => _faults[step] = times;

    internal bool Fails(KernelTask task, ZpciStep step)
    {
        Touches(task);
        if (!_faults.TryGetValue(step, out int times) || times == 0)
            return false;
        _faults[step] = times - 1;
        return true;
    }

    /// <summary>Enables the function for a GISA.</summary>
    internal Errno Enable(KernelTask task, uint gisa)
    {
        if (Fails(task, ZpciStep.Enable))
            return Errno.EIO;
        _handle = (_handle + Generation) | EnabledBit;
        Gisa = gisa;
        return Errno.Ok;
    }

    /// <summary>Disables it: EINVAL if it is disabled.</summary>
    internal Errno Disable(KernelTask task)
    {
        if (Fails(task, ZpciStep.Disable))
            return Errno.EIO;
        if (!IsEnabled)
            return Errno.EINVAL;
        _handle = (_handle + Generation) & ~EnabledBit;
        Gisa = 0;
        Translations = 0;
        return Errno.Ok;
    }

    /// <summary>Registers a table of translations. A function that is not enabled has none, which is no error: it is to be recovered.</summary>
    internal Errno RegisterTranslation(KernelTask task)
    {
        if (Fails(task, ZpciStep.RegisterTranslation))
            return Errno.EIO;
        Translations += IsEnabled ? 1 : 0;
        return Errno.Ok;
    }

    internal void UnregisterTranslation(KernelTask task)
    {
        Touches(task);
        Translations--;
    }

    internal void Touches(KernelTask task)
    {
        if (task.HasPoints)
            task.Runtime.Touched($"firmware of function {fid:x}", isWrite: true);
    }
}

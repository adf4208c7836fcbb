using Apvirt.Ap.Bus;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Kernel;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Mdev;
using Apvirt.VfioPci.Pci;
using Apvirt.VfioPci.Vgpu;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci;

/// <summary>The PCI side of a machine: its bus and functions, the host's drivers, vfio-pci, and graphics adapters split up.</summary>
public sealed class PciSubsystem
{
    // Where functions do DMA: 4 TiB above the first 4 GiB.
    private const ulong DmaFirst = 0x1_0000_0000;
    private const ulong DmaLast = 0x400_ffff_ffff;

    // The host's subclass for alerts of guests' interrupts.
    private const int ForwardingSubclass = 5;

    private readonly SharedMap<Device, GvtAdapter> _adapters = new("pci", PciFields.Adapters);
    private readonly Profile _profile;

    private PciSubsystem(KernelTask task, DeviceModel model, MdevBus mdevBus, VfioGroups groups, IReadOnlyList<PciFunctionSetup> functions, bool canInterpret, Profile profile)
    {
        MdevBus = mdevBus;
        _profile = profile;
        Interrupts = new AdapterInterruptTable(model.Runtime);
        uint number = 0;
        Bus = new PciBus(model, groups, functions, setup => new ZpciFunction(
            task, new ZpciFirmware(model.Runtime, setup.Fid, ++number, canInterpret) { InterruptsMax = setup.InterruptsMax }, Interrupts, profile)
        {
            Capabilities = new ZpciCapabilities(
                Handle: 0, DmaFirst, DmaLast, setup.Pchid, setup.Vfn, setup.Type.FunctionType, setup.Pfgid, setup.InterruptsMax, setup.InternalPath, setup.Utility),
        });
        VgpuDriver = new GvtMdevDriver(mdevBus, groups, AdapterOf);
    }

    /// <summary>The bus.</summary>
    public PciBus Bus { get; }

    /// <summary>Interrupts that are forwarded to guests.</summary>
    public AdapterInterruptTable Interrupts { get; }

    /// <summary>The vGPUs now, for observers.</summary>
    public IReadOnlyList<GvtMdev> Vgpus => VgpuDriver.Mdevs;

    /// <summary>What of it VFIO offers now: functions of vfio-pci, and vGPUs.</summary>
    public IEnumerable<VfioDevice> VfioDevices
    {
        get
        {
            foreach (PciSlot slot in Bus.Slots)
            {
                if (slot.Device?.Vfio is { } function)
                    yield return function.Device;
            }
            foreach (GvtMdev mdev in Vgpus)
            {
                if (mdev.Vgpu is { } vgpu)
                    yield return vgpu.Device;
            }
        }
    }

    /// <summary>Whether no device is being bound, unbound or removed.</summary>
    public bool IsAtRest => Bus.Slots.All(slot => !slot.Function.IsChanging && slot.Device is not { Lock.IsHeld: true }) && Vgpus.All(mdev => !mdev.Lock.IsHeld);

    internal MdevBus MdevBus { get; }

    internal GvtMdevDriver VgpuDriver { get; }

    /// <summary>Boots it: bus, drivers, functions.</summary>
    /// <param name="task">The booting task.</param>
    /// <param name="model">The machine's device model.</param>
    /// <param name="mdevBus">The bus of mediated devices.</param>
    /// <param name="groups">The machine's groups.</param>
    /// <param name="functions">What is plugged in.</param>
    /// <param name="canInterpret">Whether the machine can interpret a guest's PCI instructions.</param>
    /// <param name="hasZpciKvm">Whether the kernel is built with KVM's support for zPCI (M112).</param>
    /// <param name="profile">Whose quirks apply.</param>
    public static async ValueTask<PciSubsystem> BootAsync(
        KernelTask task, DeviceModel model, MdevBus mdevBus, VfioGroups groups, IReadOnlyList<PciFunctionSetup> functions, bool canInterpret, bool hasZpciKvm, Profile profile)
    {
        PciSubsystem subsystem = new(task, model, mdevBus, groups, functions, canInterpret, profile);
        ModuleDirectory module = new(model.Tree, "vfio_pci");
        foreach (PciFunctionType type in functions.Select(function => function.Type).Distinct())
        {
            bool isGraphics = type.ClassCode >> 16 == 0x03;
            await subsystem.Bus.RegisterDriverAsync(task, isGraphics ? new GvtHostDriver(subsystem, type) : new NativePciDriver(subsystem.Bus, type));
            if (isGraphics)
                await mdevBus.RegisterDriverAsync(task, subsystem.VgpuDriver);
        }
        // KVM has its hooks if it could turn forwarding on.
        Errno error = canInterpret && hasZpciKvm ? await subsystem.Interrupts.EnableAsync(task, ForwardingSubclass) : Errno.Ok;
        VfioPciDriver driver = new(subsystem.Bus, !hasZpciKvm ? ZpciHooks.NotBuilt : error == Errno.Ok ? ZpciHooks.Present : ZpciHooks.Absent);
        driver.AddLink("module", module);
        await subsystem.Bus.RegisterDriverAsync(task, driver);
        await subsystem.Bus.ScanAsync(task);
        return subsystem;
    }

    private GvtAdapter AdapterOf(Device parent) =>
        _adapters.GetOrAdd(parent.Model.Runtime, parent, device => new GvtAdapter(device.Model.Runtime, $"graphics adapter {device.Name}", _profile));
}

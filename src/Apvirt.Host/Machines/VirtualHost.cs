using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Drivers;
using Apvirt.Ap.Hardware;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Host.Checks;
using Apvirt.Host.Guests;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel;
using Apvirt.Kvm.Protection;
using Apvirt.Vfio;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Mdev;
using Apvirt.VfioAp;
using Apvirt.VfioAp.Mdev;
using Apvirt.VfioPci;

namespace Apvirt.Host.Machines;

/// <summary>A whole machine: hardware, AP bus, drivers, vfio_ap and the guests. Everything hangs off this one object.</summary>
public sealed class VirtualHost
{
    private VirtualHost(DeviceModel model, CryptoHardware hardware, ApBus bus, MdevBus mdevBus, VfioApModule vfioAp, PciSubsystem pci, Profile profile)
    {
        Model = model;
        Hardware = hardware;
        ApBus = bus;
        MdevBus = mdevBus;
        VfioAp = vfioAp;
        Pci = pci;
        Profile = profile;
        Guests = new GuestProcesses(this);
        Checks = model.Runtime.Checks is null ? null : new HostChecks(this);
    }

    /// <summary>Scheduler, tree, uevents and log.</summary>
    public DeviceModel Model { get; }

    /// <summary>The crypto hardware.</summary>
    public CryptoHardware Hardware { get; }

    /// <summary>The firmware of secure execution; null if the machine has none.</summary>
    public Ultravisor? Ultravisor { get; private init; }

    /// <summary>The AP bus.</summary>
    public ApBus ApBus { get; }

    /// <summary>The bus of mediated devices.</summary>
    public MdevBus MdevBus { get; }

    /// <summary>The vfio_ap module.</summary>
    public VfioApModule VfioAp { get; }

    /// <summary>PCI functions and graphics adapters.</summary>
    public PciSubsystem Pci { get; }

    /// <summary>Everything that VFIO offers now: AP mdevs, vGPUs, PCI functions of vfio-pci.</summary>
    public IEnumerable<VfioDevice> VfioDevices
    {
        get
        {
            foreach (MatrixMdev mdev in VfioAp.Matrix.Mdevs)
            {
                if (mdev.IsOffered)
                    yield return mdev.Vfio;
            }
            foreach (VfioDevice device in Pci.VfioDevices)
                yield return device;
        }
    }

    /// <summary>The quirks of the host.</summary>
    public Profile Profile { get; }

    /// <summary>The guests' user-space processes.</summary>
    public GuestProcesses Guests { get; }

    /// <summary>Who looks at the invariants; null unless the runtime checks.</summary>
    public HostChecks? Checks { get; }

    /// <summary>Whether no lock of the driver is held and no scan and no removal is under way.</summary>
    public bool IsAtRest =>
        !VfioAp.Matrix.GuestsLock.IsHeld && !VfioAp.Matrix.MdevsLock.IsHeld && !ApBus.PermsMutex.IsHeld && !ApBus.IsScanning
        && VfioAp.Matrix.Mdevs.All(mdev => !mdev.Lock.IsHeld) && Pci.IsAtRest;

    /// <summary>The sysfs tree.</summary>
    public SysfsTree Tree => Model.Tree;

    /// <summary>
    /// Boots a host in the order in which a kernel starts: mdev core, AP bus with its first scan, default drivers,
    /// vfio_ap (FORMAT.md). Reset counters begin at zero afterwards.
    /// </summary>
    /// <param name="task">The booting task.</param>
    /// <param name="setup">What the host is made of.</param>
    /// <param name="prepare">Called before anything is registered, to listen to uevents and log from the start.</param>
    public static async ValueTask<VirtualHost> BootAsync(KernelTask task, MachineSetup setup, Action<DeviceModel>? prepare = null)
    {
        KernelRuntime runtime = task.Runtime;
        DeviceModel model = new(runtime);
        prepare?.Invoke(model);
        CryptoHardware hardware = new(runtime, setup.Configuration) { HasQci = setup.HasQci };
        foreach ((int apid, AdapterType type) in setup.Adapters)
            hardware.AddAdapter(apid, type);
        foreach (int apid in setup.Deconfigured)
            hardware.SetConfigured(apid, isConfigured: false);
        foreach (int apid in setup.Checkstopped)
            hardware.SetCheckstopped(apid, isCheckstopped: true);

        _ = new ModuleDirectory(model.Tree, "vfio");
        _ = new ModuleDirectory(model.Tree, "mdev");
        MdevBus mdevBus = new(model, setup.Profile);
        ApBus bus = new(model, hardware.InstructionsFor(ApIssuer.Bus), new ServiceElement(hardware), setup.Bus with { Profile = setup.Profile });
        await bus.ScanAsync(task);
        await bus.RegisterDriverAsync(task, new Cex4CardDriver(bus));
        await bus.RegisterDriverAsync(task, new Cex4QueueDriver(bus));
        VfioGroups groups = new(model.Tree, setup.Profile);
        VfioApModule vfioAp = await VfioApModule.LoadAsync(task, bus, mdevBus, groups, hardware.InstructionsFor(ApIssuer.VfioAp), setup.Profile);
        PciSubsystem pci = await PciSubsystem.BootAsync(task, model, mdevBus, groups, setup.PciFunctions, setup.CanInterpretPci, setup.HasZpciKvm, setup.Profile);
        hardware.ClearResetCounters();
        return new VirtualHost(model, hardware, bus, mdevBus, vfioAp, pci, setup.Profile)
        {
            Ultravisor = setup.HasSecureExecution ? new Ultravisor(task.Runtime, setup.HasSecureAiv) : null,
        };
    }

    /// <summary>Changes the hardware's configuration and scans, as a notification from the channel subsystem makes the bus do.</summary>
    /// <param name="task">The task.</param>
    /// <param name="apm">Adapters.</param>
    /// <param name="aqm">Usage domains.</param>
    /// <param name="adm">Control domains.</param>
    public async ValueTask ConfigureAsync(KernelTask task, ApMask apm, ApMask aqm, ApMask adm)
    {
        Hardware.Configure(apm, aqm, adm);
        await task.NextStepAsync("scan");
        await ApBus.ScanAsync(task);
    }

    private sealed class ServiceElement(CryptoHardware hardware) : IApFirmware
    {
        public Errno Reconfigure(int apid, bool configure) =>
            !hardware.CanReconfigure ? Errno.EOPNOTSUPP
            : hardware.SetConfigured(apid, configure) ? Errno.Ok
            : Errno.EIO;

        public string SerialOf(int apid) => hardware.TypeOf(apid)?.Serial ?? "";
    }
}

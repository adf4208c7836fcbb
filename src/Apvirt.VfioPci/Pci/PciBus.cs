using System.Globalization;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Groups;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci.Pci;

/// <summary>
/// The PCI bus of an IBM Z machine: each function is alone in a PCI domain, whose number is the function's UID if all have
/// one of their own, and else counts up.
/// </summary>
/// <remarks>Lock order: pci_rescan_remove_lock, device_lock(pci), then what drivers take.</remarks>
public sealed class PciBus : Bus
{
    private static readonly LockClass RescanClass = new("pci_rescan_remove_lock", LockKind.Mutex);

    private static readonly AttributeTable Table = new(
    [
        new SysfsAttribute<PciBus>("rescan", SysfsMode.WriteOnly, store: static (task, bus, text) => bus.StoreRescanAsync(task, text)),
        .. StandardAttributes,
    ]);

    private readonly VfioGroups _groups;
    private readonly List<PciSlot> _slots = [];

    // pci_rescan_remove_lock, outside device_lock(pci): one change of what devices there are at a time.
    private readonly KernelMutex _rescan = new(RescanClass);

    // Names of groups that several functions share. Under _rescan.
    private readonly Dictionary<string, VfioGroup> _shared = new(StringComparer.Ordinal);

    /// <summary>Makes the bus.</summary>
    /// <param name="model">The machine's device model.</param>
    /// <param name="groups">The machine's groups.</param>
    /// <param name="functions">What is plugged in.</param>
    /// <param name="make">Makes a function.</param>
    internal PciBus(DeviceModel model, VfioGroups groups, IReadOnlyList<PciFunctionSetup> functions, Func<PciFunctionSetup, ZpciFunction> make) : base(model, "pci")
    {
        _groups = groups;
        HasUniqueUids = AreUnique(functions);
        string[] addresses = AddressesOf(functions);
        SysfsDirectory slots = AddDirectory("slots");
        for (int i = 0; i < functions.Count; i++)
        {
            PciSlot slot = new(slots, this, functions[i], make(functions[i]), addresses[i]);
            slots.Add(slot);
            _slots.Add(slot);
        }
    }

    /// <summary>Whether the machine guarantees that each function has a UID of its own.</summary>
    public bool HasUniqueUids { get; }

    /// <summary>The slots: what is plugged in, whether it is configured or not.</summary>
    public IReadOnlyList<PciSlot> Slots => _slots;

    /// <inheritdoc/>
    public override AttributeTable Attributes => Table;

    /// <summary>The addresses of functions: each alone in a domain, numbered by its UID if all have one of their own.</summary>
    /// <param name="functions">What is plugged in.</param>
    public static string[] AddressesOf(IReadOnlyList<PciFunctionSetup> functions)
    {
        bool areUnique = AreUnique(functions);
        return [.. functions.Select((function, i) => (areUnique ? function.Uid : i).ToString("x4", CultureInfo.InvariantCulture) + ":00:00.0")];
    }

    private static bool AreUnique(IReadOnlyList<PciFunctionSetup> functions) =>
        functions.All(function => function.Uid != 0) && functions.DistinctBy(function => function.Uid).Count() == functions.Count;

    /// <summary>Finds a function by its address.</summary>
    /// <param name="address">Address, such as <c>1000:00:00.0</c>.</param>
    public PciDevice? Find(string address) => FindDevice(address) as PciDevice;

    /// <summary>Makes devices of configured functions that have none.</summary>
    /// <param name="task">The task.</param>
    public async ValueTask ScanAsync(KernelTask task)
    {
        await _rescan.LockAsync(task);
        foreach (PciSlot slot in _slots)
        {
            if (slot.IsConfigured && Find(slot.Address) is null)
                await AddAsync(task, slot);
        }
        _rescan.Unlock(task);
    }

    /// <summary>Removes the device of a function, which stays configured. Waits until user space lets go of it.</summary>
    /// <param name="task">The task.</param>
    /// <param name="device">The device.</param>
    public async ValueTask RemoveAsync(KernelTask task, PciDevice device)
    {
        await _rescan.LockAsync(task);
        await RemoveLockedAsync(task, device);
        _rescan.Unlock(task);
    }

    /// <summary>Configures a function, or takes it out of the configuration.</summary>
    internal async ValueTask<Errno> ConfigureAsync(KernelTask task, PciSlot slot, bool isConfigured)
    {
        await _rescan.LockAsync(task);
        Errno error = slot.IsConfigured == isConfigured ? Errno.Ok : await ChangeAsync(task, slot, isConfigured);
        _rescan.Unlock(task);
        return error;
    }

    /// <inheritdoc/>
    protected override bool Matches(Device device, Driver driver) => ((PciDriver)driver).Matches((PciDevice)device);

    private async ValueTask<Errno> ChangeAsync(KernelTask task, PciSlot slot, bool isConfigured)
    {
        if (!isConfigured && Find(slot.Address) is { } device)
            await RemoveLockedAsync(task, device);
        Errno error = await slot.Function.SetEnabledAsync(task, isConfigured);
        if (error != Errno.Ok)
            return error;
        slot.IsConfigured = isConfigured;
        if (isConfigured)
            await AddAsync(task, slot);
        return Errno.Ok;
    }

    private async ValueTask AddAsync(KernelTask task, PciSlot slot)
    {
        RootDevice bridge = new(Model, "pci" + slot.Address[..7]);
        Model.Tree.Devices.Add(bridge);
        PciDevice device = new(this, bridge, slot.Address, slot.Setup, slot.Function) { DriverOverride = slot.Setup.IsForGuests ? VfioPciDriver.DriverName : null };
        device.Group = GroupOf(device);
        device.Group.Dma!.Add(device.Function);
        slot.Device = device;
        await AddDeviceAsync(task, device);
    }

    private VfioGroup GroupOf(PciDevice device)
    {
        if (device.Setup.IommuGroup is not { } name)
            return _groups.Create(device, GroupKind.Physical);
        if (_shared.TryGetValue(name, out VfioGroup? group))
            VfioGroups.Join(group, device);
        else
            _shared.Add(name, group = _groups.Create(device, GroupKind.Physical));
        return group;
    }

    private async ValueTask RemoveLockedAsync(KernelTask task, PciDevice device)
    {
        if (!device.IsRegistered)
            return;
        await RemoveDeviceAsync(task, device);
        device.Group.Dma!.Remove(device.Function);
        if (_groups.Remove(device.Group, device) && device.Setup.IommuGroup is { } name)
            _shared.Remove(name);
        Model.Tree.Devices.Remove(device.Parent!.Name);
        _slots.Find(slot => slot.Device == device)!.Device = null;
    }

    private async ValueTask<Errno> StoreRescanAsync(KernelTask task, ReadOnlyMemory<byte> text)
    {
        if (SysfsNumber.ParseUnsigned(text.Span, out ulong value) != Errno.Ok)
            return Errno.EINVAL;
        if (value != 0)
            await ScanAsync(task);
        return Errno.Ok;
    }
}

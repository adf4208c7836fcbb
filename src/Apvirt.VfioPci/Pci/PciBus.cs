using System.Collections.Immutable;
using System.Globalization;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
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
    internal static readonly LockClass RescanClass = new("pci_rescan_remove_lock", LockKind.Mutex);

    private static readonly AttributeTable Table = new(
    [
        new SysfsAttribute<PciBus>("rescan", SysfsMode.WriteOnly, store: static (task, bus, text) => bus.StoreRescanAsync(task, text)),
        .. StandardAttributes,
    ]);

    private readonly VfioGroups _groups;
    private Guarded<ImmutableDictionary<string, VfioGroup>> _shared = new(ImmutableDictionary.Create<string, VfioGroup>(StringComparer.Ordinal));

    // pci_rescan_remove_lock, outside device_lock(pci): one change of what devices there are at a time. Guards _shared, and
    // the state of the slots.
    internal KernelMutex RescanLock { get; }

    /// <summary>Makes the bus.</summary>
    /// <param name="model">The machine's device model.</param>
    /// <param name="groups">The machine's groups.</param>
    /// <param name="functions">What is plugged in.</param>
    /// <param name="make">Makes a function.</param>
    internal PciBus(DeviceModel model, VfioGroups groups, IReadOnlyList<PciFunctionSetup> functions, Func<PciFunctionSetup, ZpciFunction> make) : base(model, "pci")
    {
        _groups = groups;
        RescanLock = new KernelMutex(RescanClass, owner: this);
        HasUniqueUids = AreUnique(functions);
        string[] addresses = AddressesOf(functions);
        SysfsDirectory slots = AddDirectory("slots");
        ImmutableArray<PciSlot> all = [.. functions.Select((function, i) => new PciSlot(slots, this, function, make(function), addresses[i]))];
        foreach (PciSlot slot in all)
            slots.Add(slot);
        Slots = all;
    }

    /// <summary>Whether the machine guarantees that each function has a UID of its own.</summary>
    public bool HasUniqueUids { get; }

    /// <summary>The slots: what is plugged in, whether it is configured or not.</summary>
    public IReadOnlyList<PciSlot> Slots { get; }

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
        await RescanLock.LockAsync(task);
        foreach (PciSlot slot in Slots)
        {
            if (slot.ReadConfigured(task) && Find(slot.Address) is null)
                await AddAsync(task, slot);
        }
        RescanLock.Unlock(task);
    }

    /// <summary>Removes the device of a function, which stays configured. Waits until user space lets go of it.</summary>
    /// <param name="task">The task.</param>
    /// <param name="device">The device.</param>
    public async ValueTask RemoveAsync(KernelTask task, PciDevice device)
    {
        await RescanLock.LockAsync(task);
        await RemoveLockedAsync(task, device);
        RescanLock.Unlock(task);
    }

    /// <summary>Configures a function, or takes it out of the configuration.</summary>
    internal async ValueTask<Errno> ConfigureAsync(KernelTask task, PciSlot slot, bool isConfigured)
    {
        await RescanLock.LockAsync(task);
        Errno error = slot.ReadConfigured(task) == isConfigured ? Errno.Ok : await ChangeAsync(task, slot, isConfigured);
        RescanLock.Unlock(task);
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
        slot.SetConfigured(task, isConfigured);
        if (isConfigured)
            await AddAsync(task, slot);
        return Errno.Ok;
    }

    private async ValueTask AddAsync(KernelTask task, PciSlot slot)
    {
        RootDevice bridge = new(Model, "pci" + slot.Address[..7]);
        Model.Tree.Devices.Add(bridge);
        PciDevice device = new(this, bridge, slot.Address, slot.Setup, slot.Function, device => GroupOf(task, device));
        device.Group.Dma!.Add(device.Function);
        slot.SetDevice(task, device);
        await AddDeviceAsync(task, device);
    }

    private VfioGroup GroupOf(KernelTask task, PciDevice device)
    {
        if (device.Setup.IommuGroup is not { } name)
            return _groups.Create(device, GroupKind.Physical);
        ImmutableDictionary<string, VfioGroup> shared = _shared.Read(task, this, ZpciGuards.Groups);
        if (shared.TryGetValue(name, out VfioGroup? group))
        {
            VfioGroups.Join(group, device);
            return group;
        }
        group = _groups.Create(device, GroupKind.Physical);
        _shared.Write(task, this, ZpciGuards.Groups, shared.Add(name, group));
        return group;
    }

    private async ValueTask RemoveLockedAsync(KernelTask task, PciDevice device)
    {
        if (!device.IsRegistered)
            return;
        await RemoveDeviceAsync(task, device);
        device.Group.Dma!.Remove(device.Function);
        if (_groups.Remove(device.Group, device) && device.Setup.IommuGroup is { } name)
            _shared.Write(task, this, ZpciGuards.Groups, _shared.Read(task, this, ZpciGuards.Groups).Remove(name));
        Model.Tree.Devices.Remove(device.Parent!.Name);
        Slots.First(slot => slot.ReadDevice(task) == device).SetDevice(task, null);
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

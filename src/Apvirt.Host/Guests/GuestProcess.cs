using System.Collections.Immutable;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Memory;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.Host.Guests;

/// <summary>
/// The user-space process of a guest, as QEMU is one: it has the VM, the VM's VFIO device, a container with the guest's
/// memory, and the groups and devices open.
/// </summary>
public sealed class GuestProcess
{
    private static readonly LockClass MainClass = new("guest process", LockKind.Mutex);

    private const ulong PageMask = 0xfff;

    private readonly Profile _profile;

    // No lock of the kernel's: what plugs and unplugs devices does one thing at a time, as QEMU's main thread does. Each process
    // has its own, outside everything that a call into the kernel takes. Calls of other threads do not take it.

    /// <summary>Held by whoever acts as the main thread, who alone changes the stage, the devices and the closed groups.</summary>
    internal KernelMutex Main { get; }

    private Shared<GuestStage> _stage;

    // Looked at by all threads.
    private Shared<ImmutableList<OpenDevice>> _devices = new([]);

    // Groups whose file is closed although a device of them is open; as _devices.
    private Shared<ImmutableList<VfioGroup>> _closedGroups = new([]);

    private Shared<VfioContainer?> _container;
    private Shared<IommuFd?> _iommufd;
    private Shared<bool> _registersRequest = new(true);

    private readonly GuestFiles _files;

    private sealed class OpenDevice(VfioDevice device, VfioDeviceFile file)
    {
        private Shared<bool> _isAskedFor;

        internal VfioDevice Device => device;

        internal VfioDeviceFile File => file;

        /// <summary>Whether nobody has asked for the device before.</summary>
        internal bool TryAsk(KernelRuntime runtime) => !_isAskedFor.Exchange(runtime, this, GuestFields.Asked, true);

        public override string ToString() => $"open {device}";
    }

    internal GuestProcess(string name, VirtualMachine machine, Profile profile)
    {
        Name = name;
        Machine = machine;
        _profile = profile;
        machine.AddressSpace = this;
        Memory = new UserMemory(name, machine.Options.MemoryBytes);
        _files = new GuestFiles(name, machine);
        Threads = new GuestThreads(name, machine);
        Main = new KernelMutex(MainClass, owner: this);
    }

    /// <summary>How far the process has come.</summary>
    internal GuestStage Stage
    {
        get => _stage.Read(Runtime, this, GuestFields.Stage);
        set => _stage.Write(Runtime, this, GuestFields.Stage, value);
    }

    /// <summary>Name of the guest.</summary>
    public string Name { get; }

    /// <summary>The VM.</summary>
    public VirtualMachine Machine { get; }

    /// <summary>The container of the guest's memory; null until the first device comes.</summary>
    public VfioContainer? Container => _container.Read(Runtime, this, GuestFields.Container);

    /// <summary>The iommufd with the guest's memory; null until a device is bound to it, or a group uses it.</summary>
    public IommuFd? Iommufd => _iommufd.Read(Runtime, this, GuestFields.Iommufd);

    /// <summary>The devices that the guest has open: AP mdevs, PCI functions, vGPUs.</summary>
    public IReadOnlyList<VfioDevice> Devices => [.. Opened.Select(open => open.Device)];

    /// <summary>The AP mdevs among them.</summary>
    public IEnumerable<MatrixMdev> Mdevs => Opened.Select(open => open.Device.Driver).OfType<MatrixMdev>();

    /// <summary>Whether the process listens to requests to give back the device that it has opened last.</summary>
    public bool RegistersRequest => _registersRequest.Read(Runtime, this, GuestFields.RegistersRequest);

    /// <summary>The memory of the process, which is the guest's from address 0 on.</summary>
    public UserMemory Memory { get; }

    /// <summary>Pages pinned over all open devices.</summary>
    public int PinCount => Opened.Sum(open => open.Device.Pins.Count);

    /// <summary>Finds a device that the guest has open.</summary>
    /// <param name="name">Its name in the tree.</param>
    public VfioDevice? FindDevice(string name) =>
        Opened.FirstOrDefault(open => string.Equals(open.Device.DeviceName, name, StringComparison.Ordinal))?.Device;

    /// <inheritdoc/>
    public override string ToString() => Name;

    private KernelRuntime Runtime => Machine.Runtime;

    private ImmutableList<OpenDevice> Opened => _devices.Read(Runtime, this, GuestFields.Devices);

    private ImmutableList<VfioGroup> ClosedGroups => _closedGroups.Read(Runtime, this, GuestFields.ClosedGroups);

    /// <summary>Opens a device through its group: group, container, memory, VM, device; and registers the eventfd by which it is asked for.</summary>
    internal async ValueTask<Errno> OpenAsync(KernelTask task, VfioDevice device, GuestOptions options, Action<VfioDevice> requested)
    {
        (Errno error, VfioDeviceFile? file) = await TakeAsync(task, device, options);
        if (error != Errno.Ok)
            return error;
        _devices.Update(task.Runtime, this, GuestFields.Devices, new OpenDevice(device, file!), static (devices, open) => devices.Add(open));
        _registersRequest.Write(task.Runtime, this, GuestFields.RegistersRequest, options.RegistersRequest);
        if (!options.RegistersRequest)
            return Errno.Ok;
        // A driver that does not ask is no error.
        await task.NextStepAsync("VFIO_DEVICE_SET_IRQS");
        await device.Driver.SetRequestAsync(task, new Eventfd(task.Runtime, $"request for {device} of {Name}", () => requested(device)));
        return Errno.Ok;
    }

    /// <summary>The host asks for a device, every ten seconds again; the guest is asked to give it up once.</summary>
    /// <returns>Whether it has the device and was not asked before.</returns>
    internal bool TryAsk(VfioDevice device) => Opened.FirstOrDefault(open => open.Device == device)?.TryAsk(Runtime) == true;

    internal async ValueTask<Errno> CloseAsync(KernelTask task, VfioDevice device)
    {
        if (Opened.FirstOrDefault(open => open.Device == device) is not { } open)
            return Errno.ENODEV;
        await task.NextStepAsync("close device");
        await open.File.CloseAsync(task);
        _devices.Update(task.Runtime, this, GuestFields.Devices, open, static (devices, open) => devices.Remove(open));
        if (Has(device.Group))
            return Errno.Ok;
        await LeaveAsync(task, device.Group);
        await task.NextStepAsync("close group");
        if (ClosedGroups.Contains(device.Group))
            _closedGroups.Update(task.Runtime, this, GuestFields.ClosedGroups, device.Group, static (groups, group) => groups.Remove(group));
        else
            await device.Group.CloseAsync(task);
        return Errno.Ok;
    }

    /// <summary>Closes the file of the group of a device that stays open (M100).</summary>
    /// <param name="task">The task.</param>
    /// <param name="device">The device.</param>
    /// <returns>EBADF if the process does not have it.</returns>
    internal async ValueTask<Errno> CloseGroupAsync(KernelTask task, VfioDevice device)
    {
        if (!Has(device.Group) || ClosedGroups.Contains(device.Group))
            return Errno.EBADF;
        _closedGroups.Update(task.Runtime, this, GuestFields.ClosedGroups, device.Group, static (groups, group) => groups.Add(group));
        await device.Group.CloseAsync(task);
        return Errno.Ok;
    }

    /// <summary>Whether a device of a group is open: then the group's file was opened, and is not for another.</summary>
    internal bool Has(VfioGroup group) => Opened.Any(open => open.Device.Group == group);

    // In the order of QEMU; what was done before a step that fails is taken back.
    private async ValueTask<(Errno Error, VfioDeviceFile? File)> TakeAsync(KernelTask task, VfioDevice device, GuestOptions options)
    {
        VfioGroup group = device.Group;
        if (Has(group))
            return await GetAsync(task, device);
        Errno error = options.UsesIommufd ? await group.SetContainerAsync(task, await OpenIommufdAsync(task)) : await ContainAsync(task, group);
        await task.NextStepAsync("KVM_DEV_VFIO_FILE_ADD");
        if (error == Errno.Ok && options.AssociatesKvm)
            error = await AssociateAsync(task, group, isAdded: true);
        VfioDeviceFile? file = null;
        await task.NextStepAsync("VFIO_GROUP_GET_DEVICE_FD");
        if (error == Errno.Ok)
            (error, file) = await group.GetDeviceAsync(task, device.Name);
        if (error != Errno.Ok)
            await LeaveAsync(task, group);
        return (error, file);
    }

    private async ValueTask<(Errno Error, VfioDeviceFile? File)> GetAsync(KernelTask task, VfioDevice device) =>
        ClosedGroups.Contains(device.Group) ? (Errno.EBADF, null) : await device.Group.GetDeviceAsync(task, device.Name);

    private async ValueTask<Errno> ContainAsync(KernelTask task, VfioGroup group)
    {
        if (Container is not { } container)
        {
            container = new VfioContainer(task.Runtime, Name, _profile, Memory);
            _container.Write(task.Runtime, this, GuestFields.Container, container);
        }
        await task.NextStepAsync("VFIO_GROUP_SET_CONTAINER");
        Errno error = await group.SetContainerAsync(task, container);
        return error == Errno.Ok && container.Iommu is null ? await MapMemoryAsync(task, container) : error;
    }

    // With the guest's memory mapped in its first address space. Two threads may make one at once; the second throws its own away.
    private async ValueTask<IommuFd> OpenIommufdAsync(KernelTask task)
    {
        if (Iommufd is { } open)
            return open;
        IommuFd iommufd = new(task.Runtime, Name, Memory);
        await iommufd.Compatible.MapAsync(task, 0, Machine.Options.MemoryBytes & ~PageMask, MapProtection.Read | MapProtection.Write);
        return _iommufd.TryChange(task.Runtime, this, GuestFields.Iommufd, null, iommufd) ? iommufd : Iommufd!;
    }

    /// <summary>The process ends: what it has open is closed.</summary>
    internal async ValueTask EndAsync(KernelTask task)
    {
        await Threads.StopAsync(task);
        await task.NextStepAsync("close files");
        await _files.CloseAllAsync(task);
        await task.NextStepAsync("close VM");
        await _files.CloseVmAsync(task);
    }

    /// <summary>Closes the files of the VM and of its VFIO device; the VM lives as long as a device has it open.</summary>
    /// <param name="task">The task.</param>
    /// <returns>EBADF if they are closed.</returns>
    internal ValueTask<Errno> CloseVmAsync(KernelTask task) => _files.CloseVmAsync(task);

    /// <summary>The threads of the process.</summary>
    internal GuestThreads Threads { get; }

    /// <summary>vCPUs in the kernel, which their files keep; for observers.</summary>
    public int VcpusInKernel => Threads.VcpusInKernel;

    /// <summary>Whether the process has the file of its VM.</summary>
    public bool HasVm => _files.HasVm;

    /// <summary>Opens a device once more through its group, whose file the process has open.</summary>
    /// <param name="task">The task.</param>
    /// <param name="device">The device.</param>
    /// <param name="name">Name for the file.</param>
    /// <returns>EEXIST for a name in use, EBADF if the process has closed the group's file, else what the open answers.</returns>
    public ValueTask<Errno> OpenAgainAsync(KernelTask task, VfioDevice device, string name) =>
        _files.OpenAsync(task, name, () => GetAsync(task, device));

    /// <summary>Opens a device's own file.</summary>
    /// <param name="task">The task.</param>
    /// <param name="device">The device.</param>
    /// <param name="name">Name for the file.</param>
    /// <returns>EEXIST for a name in use, ENODEV if the device is going.</returns>
    public ValueTask<Errno> OpenDirectlyAsync(KernelTask task, VfioDevice device, string name) =>
        _files.OpenAsync(task, name, () => new(device.OpenDirectly(task)));

    /// <summary>Binds a device's own file to the iommufd of the process.</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">The file.</param>
    /// <returns>EBADF if there is none, else what the bind answers.</returns>
    public ValueTask<Errno> BindAsync(KernelTask task, string name) =>
        _files.UseAsync(task, name, async file => await file.BindAsync(task, await OpenIommufdAsync(task)));

    /// <summary>Attaches a bound file's device to the guest's memory.</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">The file.</param>
    /// <returns>EBADF if there is none, else what the attach answers.</returns>
    public ValueTask<Errno> AttachAsync(KernelTask task, string name) => _files.UseAsync(task, name, file => file.AttachAsync(task, Iommufd?.Compatible));

    /// <summary>Detaches a bound file's device from the guest's memory.</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">The file.</param>
    /// <returns>EBADF if there is none, else what the detach answers.</returns>
    public ValueTask<Errno> DetachAsync(KernelTask task, string name) => _files.UseAsync(task, name, file => file.DetachAsync(task));

    /// <summary>Closes a file.</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">The file.</param>
    /// <returns>EBADF if there is none.</returns>
    public ValueTask<Errno> CloseFileAsync(KernelTask task, string name) => _files.CloseAsync(task, name);

    /// <summary>Tells the VM of a file, or that it is no more.</summary>
    /// <param name="task">The task.</param>
    /// <param name="file">A group, or the name of a device's own file.</param>
    /// <param name="isAdded">Whether it is added.</param>
    /// <returns>EBADF if the VM's files are closed or there is no such file, else what the VM's device answers.</returns>
    public ValueTask<Errno> AssociateAsync(KernelTask task, object file, bool isAdded) => _files.AssociateAsync(task, file, isAdded);

    private async ValueTask LeaveAsync(KernelTask task, VfioGroup group)
    {
        await task.NextStepAsync("KVM_DEV_VFIO_FILE_DEL");
        await _files.DissociateAsync(task, group);
        await task.NextStepAsync("VFIO_GROUP_UNSET_CONTAINER");
        if (!ClosedGroups.Contains(group))
            await group.UnsetContainerAsync(task);
    }

    private async ValueTask<Errno> MapMemoryAsync(KernelTask task, VfioContainer container)
    {
        await task.NextStepAsync("VFIO_SET_IOMMU");
        Errno error = await container.SetIommuAsync(task, version: 2);
        await task.NextStepAsync("VFIO_IOMMU_MAP_DMA");
        ulong bytes = Machine.Options.MemoryBytes & ~PageMask;
        return error == Errno.Ok && bytes > 0 ? await container.MapAsync(task, 0, bytes, MapProtection.Read | MapProtection.Write) : error;
    }
}

using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Kvm;
using Apvirt.Vfio.Memory;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.Host.Guests;

/// <summary>
/// The user-space process of a guest, as QEMU is one: it has the VM, the VM's VFIO device, a container with the guest's
/// memory, and the groups and devices open.
/// </summary>
public sealed class GuestProcess
{
    private const ulong PageMask = 0xfff;

    private readonly Profile _profile;

    // Replaced whole, so that whoever looks sees one state. Changed by one manager at a time.
    private OpenDevice[] _devices = [];

    private KvmVfioDevice? _kvmDevice;
    private IommuFd? _iommufd;
    private bool _hasVm = true;

    // Calls under way on the files of the VM, which keep them.
    private int _vmCalls;
    private bool _isEnding;
    private int _calls;
    private readonly Completion _returned = new();
    private int _vcpusInKernel;
    private Completion _resumed = new();

    // Files beyond the one of each device, by the name that user space gives them.
    private readonly Dictionary<string, OpenFile> _files = new(StringComparer.Ordinal);

    // Those of them that the VM's device knows.
    private readonly List<OpenFile> _kvmFiles = [];

    // A call that is under way on a file keeps it: whoever lets go of it last closes it.
    private sealed class OpenFile(VfioDeviceFile file)
    {
        private int _users = 1;

        internal VfioDeviceFile File => file;

        internal void Get() => Interlocked.Increment(ref _users);

        internal ValueTask PutAsync(KernelTask task) => Interlocked.Decrement(ref _users) == 0 ? file.CloseAsync(task) : default;
    }

    private sealed record OpenDevice(VfioDevice Device, VfioDeviceFile File);

    internal GuestProcess(string name, VirtualMachine machine, Profile profile)
    {
        Name = name;
        Machine = machine;
        _profile = profile;
    }

    /// <summary>Name of the guest.</summary>
    public string Name { get; }

    /// <summary>The VM.</summary>
    public VirtualMachine Machine { get; }

    /// <summary>The container of the guest's memory; null until the first device comes.</summary>
    public VfioContainer? Container { get; private set; }

    /// <summary>The devices that the guest has open: AP mdevs, PCI functions, vGPUs.</summary>
    public IReadOnlyList<VfioDevice> Devices => [.. _devices.Select(open => open.Device)];

    /// <summary>The AP mdevs among them.</summary>
    public IEnumerable<MatrixMdev> Mdevs => _devices.Select(open => open.Device.Driver).OfType<MatrixMdev>();

    /// <summary>Whether the process listens to requests to give back the device that it has opened last.</summary>
    public bool RegistersRequest { get; private set; } = true;

    /// <summary>Pages pinned over all open devices.</summary>
    public int PinCount => _devices.Sum(open => open.Device.Pins.Count);

    /// <summary>Finds a device that the guest has open.</summary>
    /// <param name="name">Its name in the tree.</param>
    public VfioDevice? FindDevice(string name) =>
        Array.Find(_devices, open => string.Equals(open.Device.DeviceName, name, StringComparison.Ordinal))?.Device;

    /// <summary>Opens a device through its group: group, container, memory, VM, device; and registers the eventfd by which it is asked for.</summary>
    internal async ValueTask<Errno> OpenAsync(KernelTask task, VfioDevice device, GuestOptions options, Action<VfioDevice> requested)
    {
        (Errno error, VfioDeviceFile? file) = await TakeAsync(task, device, options.AssociatesKvm);
        if (error != Errno.Ok)
            return error;
        Touches(task);
        _devices = [.. _devices, new OpenDevice(device, file!)];
        RegistersRequest = options.RegistersRequest;
        // A driver that does not ask is no error.
        if (RegistersRequest)
            await device.Driver.SetRequestAsync(task, new Eventfd(() => requested(device)));
        return Errno.Ok;
    }

    internal async ValueTask<Errno> CloseAsync(KernelTask task, VfioDevice device)
    {
        if (Array.Find(_devices, open => open.Device == device) is not { } open)
            return Errno.ENODEV;
        Touches(task);
        _devices = [.. _devices.Where(other => other != open)];
        await open.File.CloseAsync(task);
        await LeaveAsync(task, device.Group);
        await device.Group.CloseAsync(task);
        return Errno.Ok;
    }

    // In the order of QEMU; what was done before a step that fails is taken back.
    private async ValueTask<(Errno Error, VfioDeviceFile? File)> TakeAsync(KernelTask task, VfioDevice device, bool associatesKvm)
    {
        VfioGroup group = device.Group;
        Container ??= new VfioContainer(_profile);
        Errno error = await group.SetContainerAsync(task, Container);
        if (error == Errno.Ok && Container.Iommu is null)
            error = await MapMemoryAsync(task, Container);
        if (error == Errno.Ok && associatesKvm)
            error = await AssociateAsync(task, group, isAdded: true);
        VfioDeviceFile? file = null;
        if (error == Errno.Ok)
            (error, file) = await group.GetDeviceAsync(task, device.Name);
        if (error != Errno.Ok)
            await LeaveAsync(task, group);
        return (error, file);
    }

    /// <summary>The process stops its vCPUs and other threads; what they have begun is ended first.</summary>
    internal async ValueTask StopAsync(KernelTask task)
    {
        if (_isEnding)
            return;
        _isEnding = true;
        TouchesCalls(task, isWrite: true);
        Machine.PauseVcpus(task);
        WakeVcpus();
        if (_calls > 0)
            await _returned.WaitAsync(task);
    }

    /// <summary>The process ends: what it has open is closed.</summary>
    internal async ValueTask EndAsync(KernelTask task)
    {
        await StopAsync(task);
        TouchesFiles(task, isWrite: true);
        OpenFile[] files = [.. _files.Values];
        _files.Clear();
        foreach (OpenFile file in files)
            await file.PutAsync(task);
        await CloseVmAsync(task);
    }

    /// <summary>Closes the files of the VM and of its VFIO device; the VM lives as long as a device has it open.</summary>
    /// <param name="task">The task.</param>
    /// <returns>EBADF if they are closed.</returns>
    internal async ValueTask<Errno> CloseVmAsync(KernelTask task)
    {
        TouchesFiles(task, isWrite: true);
        if (!_hasVm)
            return Errno.EBADF;
        _hasVm = false;
        if (_vmCalls == 0)
            await ReleaseVmAsync(task);
        return Errno.Ok;
    }

    // The last call on the files of the VM has ended, and they are closed.
    private async ValueTask ReleaseVmAsync(KernelTask task)
    {
        KvmVfioDevice? device = _kvmDevice;
        _kvmDevice = null;
        if (device is not null)
            await device.CloseAsync(task);
        OpenFile[] kept = [.. _kvmFiles];
        _kvmFiles.Clear();
        foreach (OpenFile file in kept)
            await file.PutAsync(task);
        Machine.Put(task);
    }

    /// <summary>A thread of the process begins a call; not if the process ends.</summary>
    internal bool TryEnter(KernelTask task)
    {
        TouchesCalls(task, isWrite: false);
        if (_isEnding)
            return false;
        Interlocked.Increment(ref _calls);
        return true;
    }

    /// <summary>The call has returned.</summary>
    internal void Leave(KernelTask task)
    {
        TouchesCalls(task, isWrite: false);
        if (Interlocked.Decrement(ref _calls) == 0 && _isEnding)
            _returned.CompleteAll();
    }

    /// <summary>vCPUs in the kernel, which their files keep; for observers.</summary>
    public int VcpusInKernel => _vcpusInKernel;

    /// <summary>A vCPU enters the kernel; not if the process ends or the VM is gone.</summary>
    internal bool TryEnterVcpu(KernelTask task)
    {
        TouchesCalls(task, isWrite: false);
        if (_isEnding || !Machine.TryGet(task))
            return false;
        Interlocked.Increment(ref _vcpusInKernel);
        return true;
    }

    internal void LeaveVcpu(KernelTask task)
    {
        Interlocked.Decrement(ref _vcpusInKernel);
        Machine.Put(task);
    }

    /// <summary>Waits while the vCPUs are paused.</summary>
    /// <returns>False if the process ends.</returns>
    internal async ValueTask<bool> MayRunAsync(KernelTask task)
    {
        while (!_isEnding && Machine.ArePaused)
            await _resumed.WaitAsync(task);
        return !_isEnding;
    }

    internal void ResumeVcpus(KernelTask task)
    {
        Machine.ResumeVcpus(task);
        WakeVcpus();
    }

    // Whoever waits to run looks again.
    private void WakeVcpus()
    {
        Completion resumed = _resumed;
        _resumed = new Completion();
        resumed.CompleteAll();
    }

    /// <summary>Whether the process has the file of its VM, for observers.</summary>
    public bool HasVm => _hasVm;

    /// <summary>Whether the process has the file of its VM.</summary>
    internal bool ReadHasVm(KernelTask task)
    {
        TouchesFiles(task, isWrite: false);
        return _hasVm;
    }

    /// <summary>Open files beyond the one of each device.</summary>
    public IReadOnlyCollection<VfioDeviceFile> Files => [.. _files.Values.Select(open => open.File)];

    /// <summary>Opens a device once more through its group, whose file the process has open.</summary>
    /// <param name="task">The task.</param>
    /// <param name="device">The device.</param>
    /// <param name="name">Name for the file.</param>
    /// <returns>EEXIST for a name in use, else what the open answers.</returns>
    public async ValueTask<Errno> OpenAgainAsync(KernelTask task, VfioDevice device, string name)
    {
        TouchesFiles(task, isWrite: true);
        if (_files.ContainsKey(name))
            return Errno.EEXIST;
        (Errno error, VfioDeviceFile? file) = await device.Group.GetDeviceAsync(task, device.Name);
        TouchesFiles(task, isWrite: true);
        if (file is not null && !_files.TryAdd(name, new OpenFile(file)))
        {
            await file.CloseAsync(task);
            return Errno.EEXIST;
        }
        return error;
    }

    /// <summary>Opens a device's own file.</summary>
    /// <param name="task">The task.</param>
    /// <param name="device">The device.</param>
    /// <param name="name">Name for the file.</param>
    /// <returns>EEXIST for a name in use, ENODEV if the device is going.</returns>
    public Errno OpenDirectly(KernelTask task, VfioDevice device, string name)
    {
        TouchesFiles(task, isWrite: true);
        if (_files.ContainsKey(name))
            return Errno.EEXIST;
        (Errno error, VfioDeviceFile? file) = device.OpenDirectly(task);
        if (file is not null)
            _files.Add(name, new OpenFile(file));
        return error;
    }

    /// <summary>Binds a device's own file to the iommufd of the process, and attaches it to the guest's memory.</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">The file.</param>
    /// <returns>EBADF if there is none, else what the bind answers.</returns>
    public ValueTask<Errno> BindAsync(KernelTask task, string name) => WithFileAsync(task, name, async file =>
    {
        if (_iommufd is null)
        {
            _iommufd = new IommuFd();
            await _iommufd.Compatible.MapAsync(task, 0, Machine.Options.MemoryBytes & ~PageMask, MapProtection.Read | MapProtection.Write);
        }
        Errno error = await file.BindAsync(task, _iommufd);
        return error == Errno.Ok ? await file.AttachAsync(task, _iommufd.Compatible) : error;
    });

    /// <summary>Attaches a bound file's device to the guest's memory.</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">The file.</param>
    /// <returns>EBADF if there is none, else what the attach answers.</returns>
    public ValueTask<Errno> AttachAsync(KernelTask task, string name) => WithFileAsync(task, name, file => file.AttachAsync(task, _iommufd?.Compatible));

    /// <summary>Detaches a bound file's device from the guest's memory.</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">The file.</param>
    /// <returns>EBADF if there is none, else what the detach answers.</returns>
    public ValueTask<Errno> DetachAsync(KernelTask task, string name) => WithFileAsync(task, name, file => file.DetachAsync(task));

    private async ValueTask<Errno> WithFileAsync(KernelTask task, string name, Func<VfioDeviceFile, ValueTask<Errno>> action)
    {
        TouchesFiles(task, isWrite: true);
        if (!_files.TryGetValue(name, out OpenFile? open))
            return Errno.EBADF;
        open.Get();
        Errno error = await action(open.File);
        TouchesFiles(task, isWrite: true);
        await open.PutAsync(task);
        return error;
    }

    /// <summary>Closes a file.</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">The file.</param>
    /// <returns>EBADF if there is none.</returns>
    public async ValueTask<Errno> CloseFileAsync(KernelTask task, string name)
    {
        TouchesFiles(task, isWrite: true);
        if (!_files.Remove(name, out OpenFile? open))
            return Errno.EBADF;
        await open.PutAsync(task);
        return Errno.Ok;
    }

    /// <summary>Tells the VM of a file, or that it is no more.</summary>
    /// <param name="task">The task.</param>
    /// <param name="file">A group, or the name of a device's own file.</param>
    /// <param name="isAdded">Whether it is added.</param>
    /// <returns>EBADF if the VM's files are closed or there is no such file, else what the VM's device answers.</returns>
    public async ValueTask<Errno> AssociateAsync(KernelTask task, object file, bool isAdded)
    {
        TouchesFiles(task, isWrite: true);
        if (!_hasVm)
            return Errno.EBADF;
        _vmCalls++;
        Errno error = await AssociateOpenAsync(task, file, isAdded);
        TouchesFiles(task, isWrite: true);
        if (--_vmCalls == 0 && !_hasVm)
            await ReleaseVmAsync(task);
        return error;
    }

    private async ValueTask<Errno> AssociateOpenAsync(KernelTask task, object file, bool isAdded)
    {
        OpenFile? open = file is string name ? _files.GetValueOrDefault(name) : null;
        object? target = file is string ? open?.File : file;
        if (_kvmDevice is null)
        {
            (Errno error, KvmVfioDevice? made) = await KvmVfioDevice.CreateAsync(task, Machine);
            TouchesFiles(task, isWrite: true);
            _kvmDevice ??= made;
            if (_kvmDevice is null)
                return error;
        }
        return isAdded ? await AddAsync(task, target, open) : await DeleteAsync(task, target, open);
    }

    // The VM's device keeps a file that it knows, although the process closes it.
    private async ValueTask<Errno> AddAsync(KernelTask task, object? target, OpenFile? open)
    {
        open?.Get();
        Errno error = await _kvmDevice!.AddAsync(task, target);
        if (open is not null && error == Errno.Ok)
            _kvmFiles.Add(open);
        else if (open is not null)
            await open.PutAsync(task);
        return error;
    }

    private async ValueTask<Errno> DeleteAsync(KernelTask task, object? target, OpenFile? open)
    {
        Errno error = await _kvmDevice!.DeleteAsync(task, target);
        if (open is not null && error == Errno.Ok && _kvmFiles.Remove(open))
            await open.PutAsync(task);
        return error;
    }

    private async ValueTask LeaveAsync(KernelTask task, VfioGroup group)
    {
        TouchesFiles(task, isWrite: false);
        if (_kvmDevice is not null)
            await _kvmDevice.DeleteAsync(task, group);
        await group.UnsetContainerAsync(task);
    }

    private async ValueTask<Errno> MapMemoryAsync(KernelTask task, VfioContainer container)
    {
        Errno error = await container.SetIommuAsync(task, version: 2);
        ulong bytes = Machine.Options.MemoryBytes & ~PageMask;
        return error == Errno.Ok && bytes > 0 ? await container.MapAsync(task, 0, bytes, MapProtection.Read | MapProtection.Write) : error;
    }

    // Calls come and go in any order; that the process ends is what they see of each other.
    private void TouchesCalls(KernelTask task, bool isWrite)
    {
        if (task.HasPoints)
            task.Runtime.Touched($"calls of {Name}", isWrite);
    }

    // The process's table of open files.
    private void TouchesFiles(KernelTask task, bool isWrite)
    {
        if (task.HasPoints)
            task.Runtime.Touched($"files of {Name}", isWrite);
    }

    private static void Touches(KernelTask task)
    {
        if (task.HasPoints)
            task.Runtime.Touched("guests", isWrite: true);
    }
}

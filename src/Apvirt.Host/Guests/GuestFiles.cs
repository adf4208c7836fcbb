using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Kvm;

namespace Apvirt.Host.Guests;

/// <summary>
/// The files that a guest's process has open: those of devices by the names that user space gives them, that of the VM, and
/// that of the VM's VFIO device. As in a kernel a file lives while a call is under way on it, and a device's own file also
/// while the VM's VFIO device knows it.
/// </summary>
/// <param name="name">Name of the guest.</param>
/// <param name="machine">The VM.</param>
internal sealed class GuestFiles(string name, VirtualMachine machine)
{
    // Guards all that follows; a leaf, not held over calls.
    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, OpenFile> _files = new(StringComparer.Ordinal);
    private readonly List<OpenFile> _knownToVm = [];
    private KvmVfioDevice? _kvmDevice;
    private bool _hasVm = true;
    private int _vmCalls;

    // Whoever lets go of it last closes it.
    private sealed class OpenFile(VfioDeviceFile file)
    {
        private int _users = 1;

        internal VfioDeviceFile File => file;

        internal void Get() => Interlocked.Increment(ref _users);

        internal ValueTask PutAsync(KernelTask task) => Interlocked.Decrement(ref _users) == 0 ? file.CloseAsync(task) : default;
    }

    /// <summary>Whether the process has the file of its VM, for observers.</summary>
    internal bool HasVm => _hasVm;

    /// <summary>Whether the process has the file of its VM.</summary>
    internal bool ReadHasVm(KernelTask task)
    {
        Touches(task, isWrite: false);
        return _hasVm;
    }

    /// <summary>Opens a file.</summary>
    /// <param name="task">The task.</param>
    /// <param name="file">Name for it.</param>
    /// <param name="open">Opens it.</param>
    /// <returns>EEXIST for a name in use, else what the open answers.</returns>
    internal async ValueTask<Errno> OpenAsync(KernelTask task, string file, Func<ValueTask<(Errno Error, VfioDeviceFile? File)>> open)
    {
        Touches(task, isWrite: true);
        lock (_gate)
        {
            if (_files.ContainsKey(file))
                return Errno.EEXIST;
        }
        (Errno error, VfioDeviceFile? opened) = await open();
        if (opened is null)
            return error;
        Touches(task, isWrite: true);
        bool isAdded;
        lock (_gate)
            isAdded = _files.TryAdd(file, new OpenFile(opened));
        if (isAdded)
            return Errno.Ok;
        await opened.CloseAsync(task);
        return Errno.EEXIST;
    }

    /// <summary>Does something with a file, which lives as long.</summary>
    /// <returns>EBADF if there is none.</returns>
    internal async ValueTask<Errno> UseAsync(KernelTask task, string file, Func<VfioDeviceFile, ValueTask<Errno>> action)
    {
        if (Get(task, file) is not { } open)
            return Errno.EBADF;
        Errno error = await action(open.File);
        Touches(task, isWrite: true);
        await open.PutAsync(task);
        return error;
    }

    /// <summary>Closes a file.</summary>
    /// <returns>EBADF if there is none.</returns>
    internal async ValueTask<Errno> CloseAsync(KernelTask task, string file)
    {
        Touches(task, isWrite: true);
        OpenFile? open;
        lock (_gate)
            _files.Remove(file, out open);
        if (open is null)
            return Errno.EBADF;
        await open.PutAsync(task);
        return Errno.Ok;
    }

    /// <summary>Closes all files of devices.</summary>
    internal async ValueTask CloseAllAsync(KernelTask task)
    {
        Touches(task, isWrite: true);
        OpenFile[] files;
        lock (_gate)
        {
            files = [.. _files.Values];
            _files.Clear();
        }
        foreach (OpenFile file in files)
            await file.PutAsync(task);
    }

    /// <summary>Tells the VM of a group or of a device's own file by its name, or that it is no more.</summary>
    /// <returns>EBADF if the VM's files are closed or there is no such file, else what the VM's device answers.</returns>
    internal async ValueTask<Errno> AssociateAsync(KernelTask task, object file, bool isAdded)
    {
        Touches(task, isWrite: true);
        lock (_gate)
        {
            if (!_hasVm)
                return Errno.EBADF;
            _vmCalls++;
        }
        OpenFile? open = file is string named ? Get(task, named) : null;
        Errno error = await AssociateAsync(task, file is string ? open?.File : file, open, isAdded);
        Touches(task, isWrite: true);
        if (open is not null)
            await open.PutAsync(task);
        bool isReleased;
        lock (_gate)
            isReleased = --_vmCalls == 0 && !_hasVm;
        if (isReleased)
            await ReleaseVmAsync(task);
        return error;
    }

    /// <summary>The VM is not told of a group any more; it may not know it.</summary>
    internal async ValueTask DissociateAsync(KernelTask task, IKvmFile group)
    {
        Touches(task, isWrite: false);
        if (_kvmDevice is { } device)
            await device.DeleteAsync(task, group);
    }

    /// <summary>Closes the files of the VM and of its VFIO device.</summary>
    /// <returns>EBADF if they are closed.</returns>
    internal async ValueTask<Errno> CloseVmAsync(KernelTask task)
    {
        Touches(task, isWrite: true);
        bool isReleased;
        lock (_gate)
        {
            if (!_hasVm)
                return Errno.EBADF;
            _hasVm = false;
            isReleased = _vmCalls == 0;
        }
        if (isReleased)
            await ReleaseVmAsync(task);
        return Errno.Ok;
    }

    // With _vmCalls counted, so that the VM's device stays.
    private async ValueTask<Errno> AssociateAsync(KernelTask task, object? target, OpenFile? open, bool isAdded)
    {
        if (_kvmDevice is null)
        {
            (Errno made, KvmVfioDevice? device) = await KvmVfioDevice.CreateAsync(task, machine);
            Touches(task, isWrite: true);
            lock (_gate)
                _kvmDevice ??= device;
            if (_kvmDevice is null)
                return made;
        }
        Errno error = isAdded ? await _kvmDevice.AddAsync(task, target) : await _kvmDevice.DeleteAsync(task, target);
        if (open is null || error != Errno.Ok)
            return error;
        Touches(task, isWrite: true);
        bool isForgotten = false;
        lock (_gate)
        {
            if (isAdded)
            {
                open.Get();
                _knownToVm.Add(open);
            }
            else
            {
                isForgotten = _knownToVm.Remove(open);
            }
        }
        if (isForgotten)
            await open.PutAsync(task);
        return error;
    }

    // The last call on the files of the VM has ended, and they are closed.
    private async ValueTask ReleaseVmAsync(KernelTask task)
    {
        KvmVfioDevice? device;
        OpenFile[] known;
        lock (_gate)
        {
            device = _kvmDevice;
            _kvmDevice = null;
            known = [.. _knownToVm];
            _knownToVm.Clear();
        }
        if (device is not null)
            await device.CloseAsync(task);
        foreach (OpenFile file in known)
            await file.PutAsync(task);
        machine.Put(task);
    }

    private OpenFile? Get(KernelTask task, string file)
    {
        Touches(task, isWrite: true);
        lock (_gate)
        {
            OpenFile? open = _files.GetValueOrDefault(file);
            open?.Get();
            return open;
        }
    }

    private void Touches(KernelTask task, bool isWrite)
    {
        if (task.HasPoints)
            task.Runtime.Touched($"files of {name}", isWrite);
    }
}

using System.Collections.Immutable;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
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
internal sealed class GuestFiles
{
    private readonly string _name;
    private readonly VirtualMachine _machine;
    private readonly SharedState<State> _state;

    // VmCalls are calls under way on the files of the VM; the last one closes them once HasVm is false.
    private readonly record struct State(
        ImmutableSortedDictionary<string, OpenFile> Files, ImmutableArray<OpenFile> KnownToVm, KvmVfioDevice? KvmDevice, bool HasVm, int VmCalls);

    // Whoever lets go of it last closes it.
    private sealed class OpenFile(string name, VfioDeviceFile file)
    {
        private RefCount _users = new(1);

        internal VfioDeviceFile File => file;

        internal bool TryGet(KernelRuntime runtime) => _users.TryGet(runtime, this, GuestFields.FileUsers);

        internal ValueTask PutAsync(KernelTask task) => _users.Put(task.Runtime, this, GuestFields.FileUsers) == 0 ? file.CloseAsync(task) : default;

        public override string ToString() => name;
    }

    /// <summary>Makes the files of a new process: that of the VM.</summary>
    /// <param name="name">Name of the guest.</param>
    /// <param name="machine">The VM.</param>
    internal GuestFiles(string name, VirtualMachine machine)
    {
        _name = name;
        _machine = machine;
        ImmutableSortedDictionary<string, OpenFile> none = ImmutableSortedDictionary.Create<string, OpenFile>(StringComparer.Ordinal);
        _state = new SharedState<State>(this, GuestFields.Files, new State(none, [], KvmDevice: null, HasVm: true, VmCalls: 0));
    }

    /// <summary>Whether the process has the file of its VM.</summary>
    internal bool HasVm => Read().HasVm;

    /// <inheritdoc/>
    public override string ToString() => $"files of {_name}";

    /// <summary>Opens a file.</summary>
    /// <param name="task">The task.</param>
    /// <param name="file">Name for it.</param>
    /// <param name="open">Opens it.</param>
    /// <returns>EEXIST for a name in use, else what the open answers.</returns>
    internal async ValueTask<Errno> OpenAsync(KernelTask task, string file, Func<ValueTask<(Errno Error, VfioDeviceFile? File)>> open)
    {
        if (Read().Files.ContainsKey(file))
            return Errno.EEXIST;
        (Errno error, VfioDeviceFile? opened) = await open();
        if (opened is null)
            return error;
        if (TryAdd(task, file, new OpenFile($"file {file} of {_name}", opened)))
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
        await open.PutAsync(task);
        return error;
    }

    /// <summary>Closes a file.</summary>
    /// <returns>EBADF if there is none.</returns>
    internal async ValueTask<Errno> CloseAsync(KernelTask task, string file)
    {
        if (Take(task, file) is not { } open)
            return Errno.EBADF;
        await open.PutAsync(task);
        return Errno.Ok;
    }

    /// <summary>Closes all files of devices.</summary>
    internal async ValueTask CloseAllAsync(KernelTask task)
    {
        ImmutableSortedDictionary<string, OpenFile> files;
        using (SharedState<State>.Section section = Change(task))
        {
            files = section.Value.Files;
            section.Value = section.Value with { Files = files.Clear() };
        }
        foreach (OpenFile file in files.Values)
            await file.PutAsync(task);
    }

    /// <summary>Tells the VM of a group or of a device's own file by its name, or that it is no more.</summary>
    /// <returns>EBADF if the VM's files are closed or there is no such file, else what the VM's device answers.</returns>
    internal async ValueTask<Errno> AssociateAsync(KernelTask task, object file, bool isAdded)
    {
        if (!TryBeginVmCall(task))
            return Errno.EBADF;
        OpenFile? open = file is string named ? Get(task, named) : null;
        Errno error = await AssociateAsync(task, file is string ? open?.File : file, open, isAdded);
        if (open is not null)
            await open.PutAsync(task);
        if (IsReleasedByVmCall(task))
            await ReleaseVmAsync(task);
        return error;
    }

    /// <summary>The VM is not told of a group any more; it may not know it.</summary>
    internal async ValueTask DissociateAsync(KernelTask task, IKvmFile group)
    {
        if (Read().KvmDevice is { } device)
            await device.DeleteAsync(task, group);
    }

    /// <summary>Closes the files of the VM and of its VFIO device.</summary>
    /// <returns>EBADF if they are closed.</returns>
    internal async ValueTask<Errno> CloseVmAsync(KernelTask task)
    {
        bool isReleased;
        using (SharedState<State>.Section section = Change(task))
        {
            if (!section.Value.HasVm)
                return Errno.EBADF;
            section.Value = section.Value with { HasVm = false };
            isReleased = section.Value.VmCalls == 0;
        }
        if (isReleased)
            await ReleaseVmAsync(task);
        return Errno.Ok;
    }

    // With VmCalls counted, so that the VM's device stays.
    private async ValueTask<Errno> AssociateAsync(KernelTask task, object? target, OpenFile? open, bool isAdded)
    {
        KvmVfioDevice? device = Read().KvmDevice;
        if (device is null)
        {
            await task.NextStepAsync("KVM_CREATE_DEVICE");
            (Errno made, KvmVfioDevice? mine) = await KvmVfioDevice.CreateAsync(task, _machine);
            await task.NextStepAsync("keep the VM's device");
            device = KeepDevice(task, mine);
            if (device is null)
                return made;
        }
        await task.NextStepAsync("KVM_SET_DEVICE_ATTR");
        Errno error = isAdded ? await device.AddAsync(task, target) : await device.DeleteAsync(task, target);
        if (open is null || error != Errno.Ok)
            return error;
        if (isAdded)
            Remember(task, open);
        else if (TryForget(task, open))
            await open.PutAsync(task);
        return error;
    }

    // The last call on the files of the VM has ended, and they are closed.
    private async ValueTask ReleaseVmAsync(KernelTask task)
    {
        KvmVfioDevice? device;
        ImmutableArray<OpenFile> known;
        using (SharedState<State>.Section section = Change(task))
        {
            device = section.Value.KvmDevice;
            known = section.Value.KnownToVm;
            section.Value = section.Value with { KvmDevice = null, KnownToVm = [] };
        }
        if (device is not null)
            await device.CloseAsync(task);
        foreach (OpenFile file in known)
            await file.PutAsync(task);
        _machine.Put(task);
    }

    // A file whose last user has just let go is as good as closed.
    private OpenFile? Get(KernelTask task, string file) =>
        Read().Files.TryGetValue(file, out OpenFile? open) && open.TryGet(task.Runtime) ? open : null;

    private bool TryAdd(KernelTask task, string file, OpenFile open)
    {
        using SharedState<State>.Section section = Change(task);
        if (section.Value.Files.ContainsKey(file))
            return false;
        section.Value = section.Value with { Files = section.Value.Files.Add(file, open) };
        return true;
    }

    private OpenFile? Take(KernelTask task, string file)
    {
        using SharedState<State>.Section section = Change(task);
        if (section.Value.Files.TryGetValue(file, out OpenFile? open))
            section.Value = section.Value with { Files = section.Value.Files.Remove(file) };
        return open;
    }

    private bool TryBeginVmCall(KernelTask task)
    {
        using SharedState<State>.Section section = Change(task);
        if (!section.Value.HasVm)
            return false;
        section.Value = section.Value with { VmCalls = section.Value.VmCalls + 1 };
        return true;
    }

    private bool IsReleasedByVmCall(KernelTask task)
    {
        using SharedState<State>.Section section = Change(task);
        section.Value = section.Value with { VmCalls = section.Value.VmCalls - 1 };
        return section.Value is { VmCalls: 0, HasVm: false };
    }

    // The first device that was made is the VM's.
    private KvmVfioDevice? KeepDevice(KernelTask task, KvmVfioDevice? made)
    {
        using SharedState<State>.Section section = Change(task);
        section.Value = section.Value with { KvmDevice = section.Value.KvmDevice ?? made };
        return section.Value.KvmDevice;
    }

    // The VM has the file; whoever tells it has the file too, so it is there.
    private void Remember(KernelTask task, OpenFile open)
    {
        open.TryGet(task.Runtime);
        using SharedState<State>.Section section = Change(task);
        section.Value = section.Value with { KnownToVm = section.Value.KnownToVm.Add(open) };
    }

    private bool TryForget(KernelTask task, OpenFile open)
    {
        using SharedState<State>.Section section = Change(task);
        ImmutableArray<OpenFile> known = section.Value.KnownToVm;
        section.Value = section.Value with { KnownToVm = known.Remove(open) };
        return known.Contains(open);
    }

    private State Read()
    {
        using SharedState<State>.Section section = _state.Enter(_machine.Runtime, AccessKind.Read);
        return section.Value;
    }

    private SharedState<State>.Section Change(KernelTask task) => _state.Enter(task.Runtime, AccessKind.Write);
}

using System.Collections.Immutable;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;

namespace Apvirt.Vfio.Kvm;

/// <summary>The VFIO device of a VM: through it user space tells which VM a group or a device file belongs to (kvm.md §8).</summary>
/// <remarks>Lock order: kvm->lock, then kv->lock, then kvm_ref_lock. Its end runs under kvm->lock.</remarks>
public sealed class KvmVfioDevice
{
    internal static readonly LockClass KvClass = new("kv->lock", LockKind.Mutex);

    private readonly VirtualMachine _machine;

    // kv->lock, L19. Guards _files.
    internal KernelMutex Lock { get; }

    private Guarded<ImmutableArray<IKvmFile>> _files = new([]);

    private KvmVfioDevice(VirtualMachine machine)
    {
        _machine = machine;
        Lock = new KernelMutex(KvClass, owner: this);
    }

    /// <summary>Makes the device of a VM.</summary>
    /// <param name="task">The task.</param>
    /// <param name="machine">The VM.</param>
    /// <returns>EBUSY if the VM has one.</returns>
    public static async ValueTask<(Errno Error, KvmVfioDevice? Device)> CreateAsync(KernelTask task, VirtualMachine machine)
    {
        await machine.Lock.LockAsync(task);
        bool isFirst = machine.TryAddDevice(task, "vfio");
        machine.Lock.Unlock(task);
        return isFirst ? (Errno.Ok, new KvmVfioDevice(machine)) : (Errno.EBUSY, null);
    }

    /// <summary>KVM_DEV_VFIO_FILE_ADD.</summary>
    /// <param name="task">The task.</param>
    /// <param name="file">The file; null for a descriptor that is not open.</param>
    /// <returns>EBADF, EINVAL for another file, EEXIST if it was added.</returns>
    public async ValueTask<Errno> AddAsync(KernelTask task, object? file)
    {
        if (file is null)
            return Errno.EBADF;
        if (file is not IKvmFile kvmFile)
            return Errno.EINVAL;
        await Lock.LockAsync(task);
        ImmutableArray<IKvmFile> files = _files.Read(task, this, VfioGuards.KvmFiles);
        bool isNew = !files.Contains(kvmFile);
        if (isNew)
        {
            _files.Write(task, this, VfioGuards.KvmFiles, files.Add(kvmFile));
            kvmFile.SetKvm(task, _machine);
        }
        Lock.Unlock(task);
        return isNew ? Errno.Ok : Errno.EEXIST;
    }

    /// <summary>KVM_DEV_VFIO_FILE_DEL.</summary>
    /// <param name="task">The task.</param>
    /// <param name="file">The file; null for a descriptor that is not open.</param>
    /// <returns>EBADF, ENOENT if it was not added.</returns>
    public async ValueTask<Errno> DeleteAsync(KernelTask task, object? file)
    {
        if (file is null)
            return Errno.EBADF;
        await Lock.LockAsync(task);
        ImmutableArray<IKvmFile> files = _files.Read(task, this, VfioGuards.KvmFiles);
        Errno error = Errno.ENOENT;
        if (file is IKvmFile kvmFile && files.Contains(kvmFile))
        {
            _files.Write(task, this, VfioGuards.KvmFiles, files.Remove(kvmFile));
            kvmFile.EndKvm(task, _machine);
            error = Errno.Ok;
        }
        Lock.Unlock(task);
        return error;
    }

    /// <summary>Closes it: every file that is left loses the VM.</summary>
    /// <param name="task">The task.</param>
    public async ValueTask CloseAsync(KernelTask task)
    {
        await _machine.Lock.LockAsync(task);
        await Lock.LockAsync(task);
        foreach (IKvmFile file in _files.Read(task, this, VfioGuards.KvmFiles))
            file.EndKvm(task, _machine);
        _files.Write(task, this, VfioGuards.KvmFiles, []);
        Lock.Unlock(task);
        _machine.RemoveDevice(task, "vfio");
        _machine.Lock.Unlock(task);
    }

    /// <inheritdoc/>
    public override string ToString() => $"kvm-vfio of {_machine}";
}

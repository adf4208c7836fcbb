using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Designs;

/// <summary>How an open device comes to its VM.</summary>
public enum Capture
{
    /// <summary>Every open takes it and every close gives it back (M083), and a missing VM is no error (M084).</summary>
    EachOpen,
    /// <summary>The first open takes it, the last close gives it back (M080, M081).</summary>
    FirstOpen,
}

/// <summary>A VFIO device with several open files.</summary>
/// <param name="capture">How it comes to its VM.</param>
public sealed class CapturingDevice(Capture capture)
{
    private readonly KernelMutex _group = new(Locks.Group);
    private readonly KernelMutex _set = new(Locks.DeviceSet);
    private int _openCount;

    /// <summary>The VM of the group; the group has no reference to it (M082).</summary>
    public ModelVm? GroupKvm { get; set; }

    /// <summary>The VM of the device.</summary>
    public ModelVm? Kvm { get; private set; }

    /// <summary>References taken and not given back.</summary>
    public int References { get; private set; }

    /// <summary>Opens a file.</summary>
    /// <param name="task">The task.</param>
    /// <returns>The error, and whether the caller gets a file.</returns>
    public async ValueTask<(Errno Error, bool HasFile)> OpenAsync(KernelTask task)
    {
        Errno error = Errno.Ok;
        await _group.LockAsync(task);
        if (capture == Capture.EachOpen)
        {
            // As proposed: the cleanup is reached with success still in the variable.
            bool isMissing = GroupKvm is null;
            Take();
            await _set.LockAsync(task);
            _openCount++;
            _set.Unlock(task);
            _group.Unlock(task);
            return (error, !isMissing);
        }
        await _set.LockAsync(task);
        if (_openCount == 0)
            Take();
        if (Kvm is null)
            error = Errno.EINVAL;
        else
            _openCount++;
        _set.Unlock(task);
        _group.Unlock(task);
        return (error, error == Errno.Ok);
    }

    /// <summary>Closes a file.</summary>
    /// <param name="task">The task.</param>
    public async ValueTask CloseAsync(KernelTask task)
    {
        await _group.LockAsync(task);
        await _set.LockAsync(task);
        if (--_openCount == 0 || capture == Capture.EachOpen)
            Put();
        _set.Unlock(task);
        _group.Unlock(task);
    }

    /// <summary>Uses an open file, as an ioctl does.</summary>
    /// <param name="task">The task.</param>
    /// <returns>Whether the device has its VM.</returns>
    public async ValueTask<bool> UseAsync(KernelTask task)
    {
        await _set.LockAsync(task);
        bool hasVm = Kvm is not null;
        _set.Unlock(task);
        return hasVm;
    }

    private void Take()
    {
        Kvm = GroupKvm;
        References += Kvm is null ? 0 : 1;
    }

    private void Put()
    {
        References -= Kvm is null ? 0 : 1;
        Kvm = null;
    }
}

/// <summary>M083 with two openers: whatever the order, the device has its VM while a file is open.</summary>
/// <param name="capture">How it comes to its VM.</param>
public sealed class TwoOpeners(Capture capture) : Design
{
    private readonly CapturingDevice _device = new(capture) { GroupKvm = new ModelVm("g") };

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        for (int i = 1; i <= 2; i++)
        {
            runtime.Spawn($"opener {i}", async task =>
            {
                await _device.OpenAsync(task);
                Require(await _device.UseAsync(task), "I17: the device has lost its VM while a file is open");
                await _device.CloseAsync(task);
            });
        }
    }

    /// <inheritdoc/>
    public override void Look() => Require(_device.References == 0, "I18: references are left");
}

/// <summary>M079: a device reads the VM of its group at open while somebody takes it away and the VM goes.</summary>
/// <param name="takesReference">Whether it takes a reference under the lock that guards the pointer, as the final design does.</param>
public sealed class OpenAgainstVmEnd(bool takesReference) : Design
{
    private readonly KernelMutex _reference = new(Locks.GroupReference);
    private readonly ModelVm _vm = new("g");
    private readonly SharedCell<int> _references = new(1);

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        SharedCell<ModelVm?> groupKvm = new(_vm);
        runtime.Spawn("open", async task =>
        {
            if (takesReference)
                await _reference.LockAsync(task);
            ModelVm? found = await groupKvm.ReadAsync(task);
            if (takesReference)
            {
                int references = found is null ? 0 : await _references.ReadAsync(task);
                if (references > 0)
                    await _references.WriteAsync(task, references + 1);
                else
                    found = null;
                _reference.Unlock(task);
            }
            if (found is null)
                return;
            await found.Lock.LockAsync(task);
            Require(!found.IsDestroyed, "I16: a destroyed VM is used");
            found.Lock.Unlock(task);
            if (takesReference)
                await PutAsync(task);
        });
        runtime.Spawn("FILE_DEL and end", async task =>
        {
            await _reference.LockAsync(task);
            await groupKvm.WriteAsync(task, null);
            _reference.Unlock(task);
            await PutAsync(task);
        });
    }

    private async ValueTask PutAsync(KernelTask task)
    {
        await _reference.LockAsync(task);
        int left = await _references.ReadAsync(task) - 1;
        await _references.WriteAsync(task, left);
        _reference.Unlock(task);
        if (left > 0)
            return;
        await _vm.Lock.LockAsync(task);
        _vm.IsDestroyed = true;
        _vm.Lock.Unlock(task);
    }
}

/// <summary>Linux 6.0 to 6.2: the VM of a group is guarded by the group's lock (locking.md §5, VFIO-side history).</summary>
/// <param name="hasLeafLock">Whether a lock of its own guards it, as in the final design.</param>
public sealed class CaptureUnderGroupLock(bool hasLeafLock) : Design
{
    private readonly KernelMutex _group = new(Locks.Group);
    private readonly KernelMutex _leaf = new(Locks.GroupReference);
    private readonly KernelMutex _set = new(Locks.DeviceSet);
    private readonly ModelVm _vm = new("g");

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        if (hasLeafLock)
        {
            runtime.Spawn("open", async task =>
            {
                await _group.LockAsync(task);
                await _set.LockAsync(task);
                await _leaf.LockAsync(task);
                _leaf.Unlock(task);
                await _vm.Lock.LockAsync(task);
                _vm.Lock.Unlock(task);
                _set.Unlock(task);
                _group.Unlock(task);
            });
        }
        else
        {
            Nest(runtime, "open", _group, _set, _vm.Lock);
        }
        Nest(runtime, "release of the VM's device", _vm.Lock, hasLeafLock ? _leaf : _group);
    }
}

/// <summary>The same, with the last reference to the VM given back under the group's lock: its end needs that lock.</summary>
/// <param name="hasLeafLock">Whether a lock of its own guards the group's VM, as in the final design.</param>
public sealed class PutUnderGroupLock(bool hasLeafLock) : Design
{
    private readonly KernelMutex _group = new(Locks.Group);
    private readonly KernelMutex _leaf = new(Locks.GroupReference);

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime) => runtime.Spawn("last close", async task =>
    {
        await _group.LockAsync(task);
        // The last reference: the VM goes, and with it its VFIO device, which forgets the group's VM.
        KernelMutex guard = hasLeafLock ? _leaf : _group;
        await guard.LockAsync(task);
        guard.Unlock(task);
        _group.Unlock(task);
    });
}

/// <summary>M089, F20: two vGPUs of different sets are opened with one VM.</summary>
/// <param name="isAtomic">Whether looking for another and taking the place is one critical section.</param>
public sealed class UniqueConsumer(bool isAtomic) : Design
{
    private readonly KernelMutex _unique = new(Locks.Released);
    private readonly KernelMutex[] _sets = [new(Locks.DeviceSet), new(Locks.DeviceSet)];
    private readonly SharedCell<int> _attached = new(0);
    private int _opened;

    /// <inheritdoc/>
    public override void Start(ExplorationRuntime runtime)
    {
        foreach (KernelMutex set in _sets)
        {
            runtime.Spawn("open", async task =>
            {
                await set.LockAsync(task);
                if (isAtomic)
                    await _unique.LockAsync(task);
                if (await _attached.ReadAsync(task) == 0)
                {
                    await _attached.WriteAsync(task, 1);
                    _opened++;
                }
                if (isAtomic)
                    _unique.Unlock(task);
                set.Unlock(task);
            });
        }
    }

    /// <inheritdoc/>
    public override void Look() => Require(_opened == 1, $"{_opened} consumers have the VM");
}

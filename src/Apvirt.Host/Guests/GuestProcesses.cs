using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Devices.Core;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Machines;
using Apvirt.Kvm.Protection;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.Host.Guests;

/// <summary>The guests of a host and what their user space does: start, stop, plug and unplug devices, run AP instructions.</summary>
public sealed class GuestProcesses
{
    private static readonly LockClass ProcessClass = new("guest processes", LockKind.Mutex);

    private readonly VirtualHost _host;

    // No lock of the kernel's: whoever manages the guests does one thing at a time. Outside everything that a call into
    // the kernel takes; a removal that waits for a close does not hold it.
    private readonly KernelMutex _management = new(ProcessClass);

    // Guards _guests; a leaf.
    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, GuestProcess> _guests = new(StringComparer.Ordinal);

    internal GuestProcesses(VirtualHost host) => _host = host;

    /// <summary>The guests now, by name.</summary>
    public GuestProcess[] List()
    {
        Touches(isWrite: false);
        lock (_gate)
            return [.. _guests.Values];
    }

    /// <summary>Finds a guest.</summary>
    /// <param name="name">Its name.</param>
    public GuestProcess? Find(string name)
    {
        Touches(isWrite: false);
        lock (_gate)
            return _guests.GetValueOrDefault(name);
    }

    /// <summary>The mediated device of a UUID that is in the tree, null if there is none.</summary>
    /// <param name="uuid">The UUID in lower case.</param>
    public MatrixMdev? FindMdev(string uuid) =>
        _host.MdevBus.FindDevice(uuid) is MatrixMdev { Driver: not null, IsOffered: true } mdev ? mdev : null;

    /// <summary>Starts a guest with a device, or plugs the device into a running one.</summary>
    /// <param name="task">The starting task.</param>
    /// <param name="name">Name of the guest; a new one is made.</param>
    /// <param name="uuid">The mediated device; null starts a guest without one.</param>
    /// <param name="options">How.</param>
    /// <returns>
    /// ENODEV for an unknown device, EBUSY if it is open, EPERM if the VM has one already, EINVAL without KVM. A guest
    /// that was made for a failing open does not exist afterwards.
    /// </returns>
    public async ValueTask<Errno> StartAsync(KernelTask task, string name, string? uuid, GuestOptions options)
    {
        await _management.LockAsync(task);
        Errno error = await StartLockedAsync(task, name, uuid, options);
        _management.Unlock(task);
        return error;
    }

    private async ValueTask<Errno> StartLockedAsync(KernelTask task, string name, string? uuid, GuestOptions options)
    {
        MatrixMdev? mdev = uuid is null ? null : FindMdev(uuid);
        if (uuid is not null && mdev is null)
            return Errno.ENODEV;
        Errno error = mdev is null ? Errno.Ok : await mdev.Vfio.Group.OpenAsync(task);
        if (error != Errno.Ok)
            return error;
        GuestProcess? existing = Find(name);
        GuestProcess guest = existing
            ?? new GuestProcess(name, new VirtualMachine(name, _host.ApBus.Configuration.HasApxa, options.Machine with { Ultravisor = _host.Ultravisor }), _host.VfioAp.Matrix.Groups.Behaviour);
        if (existing is null && options.Machine.IsProtected)
            await guest.Machine.Protection.RunAsync(task, PvCommand.Enable, flags: 0, _host.Profile);
        if (mdev is not null)
            error = await guest.OpenAsync(task, mdev, options, device => Released(guest, device));
        if (error != Errno.Ok)
            await mdev!.Vfio.Group.CloseAsync(task);
        if (existing is not null)
            return error;
        if (error != Errno.Ok)
        {
            await guest.EndAsync(task);
            return error;
        }
        Touches(isWrite: true);
        lock (_gate)
            _guests.Add(name, guest);
        return Errno.Ok;
    }

    /// <summary>Stops a guest: all its devices are closed, then the VM goes.</summary>
    /// <param name="task">The stopping task.</param>
    /// <param name="name">Name of the guest.</param>
    /// <returns>ENODEV if there is none.</returns>
    public async ValueTask<Errno> StopAsync(KernelTask task, string name)
    {
        await _management.LockAsync(task);
        GuestProcess? guest = Find(name);
        if (guest is not null)
        {
            foreach (MatrixMdev mdev in guest.Devices.ToArray())
                await guest.CloseAsync(task, mdev);
            Touches(isWrite: true);
            lock (_gate)
                _guests.Remove(name);
            await guest.EndAsync(task);
        }
        _management.Unlock(task);
        return guest is null ? Errno.ENODEV : Errno.Ok;
    }

    /// <summary>Closes one device of a guest, which lives on.</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">Name of the guest.</param>
    /// <param name="uuid">The device.</param>
    /// <returns>ENODEV if the guest does not exist or does not have the device.</returns>
    public async ValueTask<Errno> DetachAsync(KernelTask task, string name, string uuid)
    {
        await _management.LockAsync(task);
        // A device whose removal is waiting is not in the tree any more, but still open.
        GuestProcess? guest = Find(name);
        MatrixMdev? mdev = guest?.Devices.FirstOrDefault(d => string.Equals(d.Name, uuid, StringComparison.Ordinal));
        Errno error = mdev is null ? Errno.ENODEV : await guest!.CloseAsync(task, mdev);
        _management.Unlock(task);
        return error;
    }

    /// <summary>Does something in a guest's process, one thing at a time like whoever manages it.</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">Name of the guest.</param>
    /// <param name="uuid">A mediated device; null if none is concerned.</param>
    /// <param name="action">What to do.</param>
    /// <returns>ENODEV if there is no such guest or device, else what the action answers.</returns>
    public async ValueTask<Errno> InProcessAsync(KernelTask task, string name, string? uuid, Func<GuestProcess, MatrixMdev?, ValueTask<Errno>> action)
    {
        MatrixMdev? mdev = uuid is null ? null : FindMdev(uuid);
        return Find(name) is { } guest && (uuid is null || mdev is not null) ? await action(guest, mdev) : Errno.ENODEV;
    }

    /// <summary>The AP instructions of a guest's first vCPU.</summary>
    /// <param name="guest">The guest.</param>
    public IApInstructions InstructionsOf(GuestProcess guest) =>
        new GuestInstructions(guest.Machine.Vcpus[0], _host.Hardware.InstructionsFor(ApIssuer.Guest), _host.Profile, _host.Model.Runtime);

    /// <summary>Boots the AP bus inside a guest: the same bus, on what the guest's control block lets through.</summary>
    /// <param name="task">The task.</param>
    /// <param name="guest">The guest.</param>
    /// <param name="scansByTimer">Whether the guest looks for changes by itself; <see cref="ApBus.StopScanning"/> ends it.</param>
    /// <returns>The guest's bus with its own tree, scanned once, its default drivers loaded.</returns>
    public async ValueTask<ApBus> BootGuestBusAsync(KernelTask task, GuestProcess guest, bool scansByTimer = false)
    {
        DeviceModel model = new(task.Runtime);
        ApBus bus = new(model, InstructionsOf(guest), firmware: null, new ApBusOptions { ScansByTimer = scansByTimer });
        await bus.ScanAsync(task);
        await bus.RegisterDriverAsync(task, new Apvirt.Ap.Drivers.Cex4CardDriver(bus));
        await bus.RegisterDriverAsync(task, new Apvirt.Ap.Drivers.Cex4QueueDriver(bus));
        return bus;
    }

    /// <summary>Runs an intercepted PQAP on behalf of a guest's first vCPU.</summary>
    /// <param name="task">The vCPU's task.</param>
    /// <param name="guest">The guest.</param>
    /// <param name="request">The registers.</param>
    /// <returns>The answer; not supported if the VM is gone.</returns>
    public async ValueTask<PqapAnswer> InterceptAsync(KernelTask task, GuestProcess guest, PqapRequest request)
    {
        // The file of the vCPU keeps the VM while it runs.
        if (!guest.Machine.TryGet(task))
            return new PqapAnswer(PqapOutcome.NotSupported);
        Vcpu vcpu = guest.Machine.Vcpus[0];
        await vcpu.Mutex.LockAsync(task);
        PqapAnswer answer = await PqapInterception.HandleAsync(task, vcpu, request, _host.Profile);
        vcpu.Mutex.Unlock(task);
        guest.Machine.Put(task);
        return answer;
    }

    private void Touches(bool isWrite)
    {
        if (_host.Model.Runtime.HasPoints)
            _host.Model.Runtime.Touched("guests", isWrite);
    }

    /// <summary>Runs a command of secure execution for a guest (kvm.md §7).</summary>
    /// <param name="task">The task.</param>
    /// <param name="guest">The guest.</param>
    /// <param name="command">The command.</param>
    /// <param name="flags">Its flags.</param>
    /// <param name="isInterrupted">Whether a signal interrupts what takes long.</param>
    /// <returns>As <see cref="SecureExecution.RunAsync"/>; ENODEV if the VM is gone.</returns>
    public async ValueTask<Errno> ProtectAsync(KernelTask task, GuestProcess guest, PvCommand command, uint flags = 0, bool isInterrupted = false)
    {
        if (!guest.Machine.TryGet(task))
            return Errno.ENODEV;
        Errno error = await guest.Machine.Protection.RunAsync(task, command, flags, _host.Profile, isInterrupted);
        guest.Machine.Put(task);
        return error;
    }

    // The eventfd was signalled: user space unplugs the device and closes it, and the removal goes on.
    private void Released(GuestProcess guest, MatrixMdev mdev)
    {
        if (Find(guest.Name) != guest)
            return;
        _host.Model.Runtime.Spawn($"{guest.Name} releases {mdev.Name}", async task =>
        {
            await _management.LockAsync(task);
            await guest.CloseAsync(task, mdev);
            _management.Unlock(task);
        });
    }
}

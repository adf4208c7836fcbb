using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Machines;
using Apvirt.Kvm.Protection;
using Apvirt.Vfio.Devices;
using Apvirt.VfioAp.Mdev;
using Apvirt.VfioPci.Vgpu;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.Host.Guests;

/// <summary>The guests of a host and what their user space does: start, stop, plug and unplug devices, run AP instructions.</summary>
public sealed class GuestProcesses
{
    private const uint GisaBytes = 0x1000;

    private readonly VirtualHost _host;
    private Shared<int> _made;

    private readonly SharedMap<string, GuestProcess> _guests;

    internal GuestProcesses(VirtualHost host)
    {
        _host = host;
        _guests = new SharedMap<string, GuestProcess>(this, GuestFields.Guests);
    }

    /// <summary>The guests now, by name.</summary>
    public GuestProcess[] List()
    {
        GuestProcess[] guests = _guests.Values(Runtime);
        Array.Sort(guests, static (one, other) => string.CompareOrdinal(one.Name, other.Name));
        return guests;
    }

    /// <summary>Finds a guest.</summary>
    /// <param name="name">Its name.</param>
    public GuestProcess? Find(string name) => _guests.TryGet(Runtime, name, out GuestProcess? guest) ? guest : null;

    /// <inheritdoc/>
    public override string ToString() => "guest processes";

    private KernelRuntime Runtime => _host.Model.Runtime;

    /// <summary>The mediated device of a UUID that is in the tree, null if there is none.</summary>
    /// <param name="uuid">The UUID in lower case.</param>
    public MatrixMdev? FindMdev(string uuid) =>
        _host.MdevBus.FindDevice(uuid) is MatrixMdev { Driver: not null, IsOffered: true } mdev ? mdev : null;

    /// <summary>A device that can be opened: an AP mdev or a vGPU by its UUID, a PCI function of vfio-pci by its address; null if there is none.</summary>
    /// <param name="name">Its name in the tree.</param>
    public VfioDevice? FindDevice(string name) => _host.MdevBus.FindDevice(name) switch
    {
        MatrixMdev { Driver: not null, IsOffered: true } mdev => mdev.Vfio,
        GvtMdev { Driver: not null, Vgpu: { } vgpu } => vgpu.Device,
        _ => _host.Pci.Bus.Find(name) is { Driver: not null, Vfio: { } vfio } ? vfio.Device : null,
    };

    /// <summary>Starts a guest with devices, or plugs devices into a running one.</summary>
    /// <param name="task">The starting task.</param>
    /// <param name="name">Name of the guest; a new one is made.</param>
    /// <param name="devices">The devices by their names in the tree, in the order in which they are opened; may be none.</param>
    /// <param name="options">How.</param>
    /// <returns>
    /// ENODEV for an unknown device, EBUSY if it is open, else what its driver answers: EPERM if the VM has an AP mdev
    /// already, EEXIST if it has a vGPU, EINVAL or ESRCH without KVM. Either all are open or none, and a guest that was
    /// made for a failing open does not exist afterwards.
    /// </returns>
    public async ValueTask<Errno> StartAsync(KernelTask task, string name, IReadOnlyList<string> devices, GuestOptions options)
    {
        VfioDevice[] found = [.. devices.Select(FindDevice).OfType<VfioDevice>()];
        if (found.Length < devices.Count)
            return Errno.ENODEV;
        GuestProcess guest = await LockForStartAsync(task, name, options);
        object? space = task.AddressSpace;
        task.AddressSpace = guest;
        Errno error = await StartLockedAsync(task, guest, found, options);
        task.AddressSpace = space;
        guest.Main.Unlock(task);
        return error;
    }

    // A process that ends meanwhile is none any more, and its name is free again.
    private async ValueTask<GuestProcess> LockForStartAsync(KernelTask task, string name, GuestOptions options)
    {
        while (true)
        {
            if (Find(name) is not { } guest)
            {
                guest = Make(name, options);
                if (!_guests.TryAdd(Runtime, name, guest))
                    continue;
            }
            await guest.Main.LockAsync(task);
            if (guest.Stage != GuestStage.Ended)
                return guest;
            guest.Main.Unlock(task);
        }
    }

    private async ValueTask<Errno> StartLockedAsync(KernelTask task, GuestProcess guest, VfioDevice[] devices, GuestOptions options)
    {
        bool isNew = guest.Stage == GuestStage.Made;
        await task.NextStepAsync("open group");
        if (isNew && options.Machine.IsProtected)
            await guest.Machine.Protection.RunAsync(task, PvCommand.Enable, flags: 0, _host.Profile);
        Errno error = Errno.Ok;
        for (int i = 0; i < devices.Length; i++)
        {
            error = await OpenAsync(task, guest, devices[i], options);
            if (error == Errno.Ok)
                continue;
            while (--i >= 0)
                await guest.CloseAsync(task, devices[i]);
            break;
        }
        if (isNew && error == Errno.Ok)
            guest.Stage = GuestStage.Running;
        else if (isNew)
            await EndAsync(task, guest);
        return error;
    }

    // Under the lock of its main thread; whoever waits for that finds it ended.
    private async ValueTask EndAsync(KernelTask task, GuestProcess guest)
    {
        _guests.Remove(Runtime, guest.Name, out _);
        guest.Stage = GuestStage.Ended;
        await guest.EndAsync(task);
    }

    // With the file of its group, if the guest does not have it for another device.
    private async ValueTask<Errno> OpenAsync(KernelTask task, GuestProcess guest, VfioDevice device, GuestOptions options)
    {
        bool hadGroup = guest.Has(device.Group) && guest.FindDevice(device.DeviceName) is null;
        Errno error = hadGroup ? Errno.Ok : await device.Group.OpenAsync(task);
        if (error != Errno.Ok)
            return error;
        error = await guest.OpenAsync(task, device, options, requested => Released(guest, requested));
        if (error == Errno.Ok || hadGroup)
            return error;
        await task.NextStepAsync("close group");
        await device.Group.CloseAsync(task);
        return error;
    }

    private GuestProcess Make(string name, GuestOptions options)
    {
        VirtualMachineOptions machine = options.Machine with
        {
            Ultravisor = _host.Ultravisor,
            GisaDesignation = options.Machine.GisaDesignation + GisaBytes * (uint)(_made.Update(Runtime, this, GuestFields.Made, with: 1, static (made, more) => made + more) - 1),
        };
        return new GuestProcess(name, new VirtualMachine(Runtime, name, _host.ApBus.Configuration.HasApxa, machine), _host.VfioAp.Matrix.Groups.Profile);
    }

    /// <summary>Stops a guest: all its devices are closed, then the VM goes.</summary>
    /// <param name="task">The stopping task.</param>
    /// <param name="name">Name of the guest.</param>
    /// <returns>ENODEV if there is none.</returns>
    public async ValueTask<Errno> StopAsync(KernelTask task, string name)
    {
        if (Find(name) is not { } guest)
            return Errno.ENODEV;
        await guest.Main.LockAsync(task);
        bool isThere = guest.Stage == GuestStage.Running;
        if (isThere)
        {
            await task.NextStepAsync("stop vCPUs");
            await guest.Threads.StopAsync(task);
            foreach (VfioDevice device in guest.Devices)
                await guest.CloseAsync(task, device);
            await EndAsync(task, guest);
        }
        guest.Main.Unlock(task);
        return isThere ? Errno.Ok : Errno.ENODEV;
    }

    /// <summary>Closes one device of a guest, which lives on.</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">Name of the guest.</param>
    /// <param name="device">The device's name in the tree.</param>
    /// <returns>ENODEV if the guest does not exist or does not have the device.</returns>
    public ValueTask<Errno> DetachAsync(KernelTask task, string name, string device) =>
        OfOpenAsync(task, name, device, (guest, open) => guest.CloseAsync(task, open));

    /// <summary>Closes the file of the group of a device that a guest has open, and keeps the device (M100).</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">Name of the guest.</param>
    /// <param name="device">The device's name in the tree.</param>
    /// <returns>ENODEV if the guest does not exist or does not have the device, EBADF if the file is closed already.</returns>
    public ValueTask<Errno> CloseGroupAsync(KernelTask task, string name, string device) =>
        OfOpenAsync(task, name, device, (guest, open) => guest.CloseGroupAsync(task, open));

    // A device whose removal is waiting is not in the tree any more, but still open.
    private async ValueTask<Errno> OfOpenAsync(KernelTask task, string name, string device, Func<GuestProcess, VfioDevice, ValueTask<Errno>> change)
    {
        if (Find(name) is not { } guest)
            return Errno.ENODEV;
        await guest.Main.LockAsync(task);
        Errno error = guest.FindDevice(device) is { } open ? await change(guest, open) : Errno.ENODEV;
        guest.Main.Unlock(task);
        return error;
    }

    /// <summary>Does something in a guest's process, as one of its threads: beside the others, and the process ends after it.</summary>
    /// <param name="task">The task.</param>
    /// <param name="name">Name of the guest.</param>
    /// <param name="device">A device's name in the tree; null if none is concerned.</param>
    /// <param name="action">What to do.</param>
    /// <returns>ENODEV if there is no such guest or device, else what the action answers.</returns>
    public async ValueTask<Errno> InProcessAsync(KernelTask task, string name, string? device, Func<GuestProcess, VfioDevice?, ValueTask<Errno>> action)
    {
        VfioDevice? found = device is null ? null : FindDevice(device);
        if ((device is not null && found is null) || Find(name) is not { } guest || !guest.Threads.TryEnter(task))
            return Errno.ENODEV;
        object? space = task.AddressSpace;
        task.AddressSpace = guest;
        Errno error = await action(guest, found);
        task.AddressSpace = space;
        guest.Threads.Leave(task);
        return error;
    }

    /// <summary>The AP instructions of a guest's first vCPU.</summary>
    /// <param name="guest">The guest.</param>
    public IApInstructions InstructionsOf(GuestProcess guest) =>
        new GuestInstructions(guest.Machine.Vcpus[0], _host.Hardware.InstructionsFor(ApIssuer.Guest), _host.Profile, _host.Model.Runtime);

    /// <summary>A guest's first vCPU zeroises a queue, which is not intercepted.</summary>
    /// <param name="task">The vCPU's task.</param>
    /// <param name="guest">The guest.</param>
    /// <param name="apqn">The queue.</param>
    /// <returns>The status; null if the guest ends.</returns>
    public ApStatus? Zapq(KernelTask task, GuestProcess guest, Apqn apqn)
    {
        if (!guest.Threads.TryEnter(task))
            return null;
        ApStatus status = InstructionsOf(guest).Zapq(apqn);
        guest.Threads.Leave(task);
        return status;
    }

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

    /// <summary>Runs an intercepted PQAP on behalf of a vCPU.</summary>
    /// <param name="task">The vCPU's task.</param>
    /// <param name="guest">The guest.</param>
    /// <param name="request">The registers.</param>
    /// <param name="index">The vCPU by its number.</param>
    /// <returns>The answer; null if the guest ends.</returns>
    public async ValueTask<PqapAnswer?> InterceptAsync(KernelTask task, GuestProcess guest, PqapRequest request, int index = 0)
    {
        // The file of the vCPU keeps the VM while it runs.
        if (!guest.Threads.TryEnter(task))
            return null;
        if (!guest.Machine.TryGet(task))
        {
            guest.Threads.Leave(task);
            return null;
        }
        Vcpu vcpu = guest.Machine.Vcpus[index];
        await vcpu.Mutex.LockAsync(task);
        PqapAnswer answer = await PqapInterception.HandleAsync(task, vcpu, request, _host.Profile);
        vcpu.Mutex.Unlock(task);
        guest.Machine.Put(task);
        guest.Threads.Leave(task);
        return answer;
    }

    /// <summary>Runs a command of secure execution for a guest (kvm.md §7).</summary>
    /// <param name="task">The task.</param>
    /// <param name="guest">The guest.</param>
    /// <param name="command">The command.</param>
    /// <param name="flags">Its flags.</param>
    /// <param name="isInterrupted">Whether a signal interrupts what takes long.</param>
    /// <returns>As <see cref="SecureExecution.RunAsync"/>; ENODEV if the guest ends or the VM is gone.</returns>
    public async ValueTask<Errno> ProtectAsync(KernelTask task, GuestProcess guest, PvCommand command, uint flags = 0, bool isInterrupted = false)
    {
        if (!guest.Threads.TryEnter(task))
            return Errno.ENODEV;
        Errno error = Errno.ENODEV;
        if (guest.Machine.TryGet(task))
        {
            // As QEMU does: the command takes every vcpu->mutex, which a vCPU that waits for an interrupt has.
            guest.Machine.PauseVcpus(task);
            error = await guest.Machine.Protection.RunAsync(task, command, flags, _host.Profile, isInterrupted);
            guest.Threads.Resume(task);
            guest.Machine.Put(task);
        }
        guest.Threads.Leave(task);
        return error;
    }

    /// <summary>A queue has a reply: if it is armed for a guest, its notification byte is set and the guest interrupted.</summary>
    /// <param name="task">The task of the interrupt.</param>
    /// <param name="apqn">The queue.</param>
    /// <returns>The guest and its subclass; null if the queue is armed for none that lives.</returns>
    public (GuestProcess Guest, int Subclass)? Interrupt(KernelTask task, Apqn apqn)
    {
        if (_host.Hardware.ArmedFor(apqn) is not { GisaDesignation: not 0 } control || List().FirstOrDefault(guest => guest.Machine.Gisa.Designation == control.GisaDesignation) is not { } guest)
            return null;
        // I20: the device writes the byte, so its page is pinned and mapped.
        bool isPinned = _host.VfioDevices.Any(device => device.Kvm == guest.Machine && device.Pins.IsPinned(control.NotificationByte));
        if (!isPinned)
            task.Checks?.Report(task, ViolationKind.Invariant, "I20", $"queue {apqn} writes its notification byte at 0x{control.NotificationByte:x}, which is not pinned");
        guest.Machine.Gisa.Pend(task, control.GuestIsc);
        return (guest, control.GuestIsc);
    }

    /// <summary>A vCPU of a guest has nothing to do and waits for an interrupt.</summary>
    /// <param name="task">The vCPU's task.</param>
    /// <param name="guest">The guest.</param>
    /// <param name="index">The vCPU by its number.</param>
    /// <param name="subclasses">What it is enabled for, 0x80 for subclass 0.</param>
    /// <returns>The subclass of the interrupt that it takes; EINTR if the guest ends.</returns>
    public async ValueTask<(Errno Error, int Subclass)> WaitAsync(KernelTask task, GuestProcess guest, int index, byte subclasses)
    {
        if (!guest.Threads.TryEnterVcpu(task))
            return (Errno.EINTR, 0);
        Vcpu vcpu = guest.Machine.Vcpus[index];
        int subclass = -1;
        while (subclass < 0 && await guest.Threads.MayRunAsync(task))
        {
            await vcpu.Mutex.LockAsync(task);
            subclass = await vcpu.WaitForInterruptAsync(task, subclasses);
            vcpu.Mutex.Unlock(task);
        }
        guest.Threads.LeaveVcpu(task);
        return subclass < 0 ? (Errno.EINTR, 0) : (Errno.Ok, subclass);
    }

    /// <summary>Runs KVM_S390_ZPCI_OP for a guest (zpci.md §5).</summary>
    /// <param name="task">The task.</param>
    /// <param name="guest">The guest.</param>
    /// <param name="handle">The function by its handle.</param>
    /// <param name="code">What to do.</param>
    /// <param name="flags">Flags.</param>
    /// <param name="request">What to forward.</param>
    /// <returns>As <see cref="ZpciOperation.RunAsync"/>; EBADF if the VM's file is closed, ENODEV if the guest ends.</returns>
    public async ValueTask<Errno> OperateAsync(KernelTask task, GuestProcess guest, uint handle, ZpciOperationCode code, uint flags, ForwardingRequest request)
    {
        if (!guest.Threads.TryEnter(task))
            return Errno.ENODEV;
        Errno error = Errno.EBADF;
        if (guest.HasVm && guest.Machine.TryGet(task))
        {
            error = await ZpciOperation.RunAsync(task, guest.Machine, handle, code, flags, request);
            guest.Machine.Put(task);
        }
        guest.Threads.Leave(task);
        return error;
    }

    // The eventfd was signalled: user space unplugs the device and closes it, and the removal goes on.
    private void Released(GuestProcess guest, VfioDevice device)
    {
        if (Find(guest.Name) != guest || !guest.TryAsk(device))
            return;
        _host.Model.Runtime.Spawn($"{guest.Name} releases {device.DeviceName}", async task =>
        {
            await guest.Main.LockAsync(task);
            await guest.CloseAsync(task, device);
            guest.Main.Unlock(task);
        });
    }
}

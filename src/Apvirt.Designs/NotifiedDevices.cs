using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Designs;

/// <summary>A function with interpretation for a VM, told by a notifier.</summary>
/// <param name="group">Its group.</param>
/// <param name="hasZdev">Whether it is a zPCI function at all (M073).</param>
/// <param name="registrationFails">Whether giving the designation to the firmware fails.</param>
public sealed class NotifiedFunction(NotifierGroup group, bool hasZdev = true, bool registrationFails = false)
{
    /// <summary>The VM whose designation the firmware has; null for none.</summary>
    public ModelVm? Gisa { get; private set; }

    /// <summary>How often it was registered.</summary>
    public int Registrations { get; private set; }

    /// <summary>How often it was unregistered, also when there was nothing to unregister.</summary>
    public int Releases { get; private set; }

    /// <summary>Opens: the hook comes last and can report nothing (M072).</summary>
    /// <param name="task">The task.</param>
    public async ValueTask<Errno> OpenAsync(KernelTask task)
    {
        if (hasZdev)
            await group.RegisterAsync(task, NotifierKind.Group, NotifierEvents.First, TellAsync);
        return Errno.Ok;
    }

    /// <summary>Closes; what may remain is cleaned up again (M076).</summary>
    /// <param name="task">The task.</param>
    public async ValueTask CloseAsync(KernelTask task)
    {
        await group.UnregisterAsync(task, TellAsync);
        Release();
    }

    private ValueTask<Errno> TellAsync(KernelTask task, ModelVm? vm)
    {
        if (vm is null)
        {
            Release();
            return new ValueTask<Errno>(Errno.Ok);
        }
        if (registrationFails)
            return new ValueTask<Errno>(Errno.EIO);
        Registrations++;
        Gisa = vm;
        return new ValueTask<Errno>(Errno.Ok);
    }

    private void Release()
    {
        Releases++;
        Gisa = null;
    }
}

/// <summary>A mediated device that is told by a notifier, and refuses a VM that has another one (M042, M111).</summary>
/// <param name="group">Its group.</param>
/// <param name="attached">The VMs that have one.</param>
public sealed class NotifiedMdev(NotifierGroup group, HashSet<ModelVm> attached)
{
    /// <summary>The VM that it is attached to; null for none.</summary>
    public ModelVm? Kvm { get; private set; }

    /// <summary>Opens: neither what registering answers nor what the callback does reaches the opener.</summary>
    /// <param name="task">The task.</param>
    public async ValueTask<Errno> OpenAsync(KernelTask task)
    {
        await group.RegisterAsync(task, NotifierKind.Group, NotifierEvents.First, TellAsync);
        return Errno.Ok;
    }

    /// <summary>Closes.</summary>
    /// <param name="task">The task.</param>
    public async ValueTask CloseAsync(KernelTask task)
    {
        await group.UnregisterAsync(task, TellAsync);
        Release();
    }

    private ValueTask<Errno> TellAsync(KernelTask task, ModelVm? vm)
    {
        if (vm is null)
            Release();
        else if (!attached.Add(vm))
            return new ValueTask<Errno>(Errno.EPERM);
        else
            Kvm = vm;
        return new ValueTask<Errno>(Errno.Ok);
    }

    private void Release()
    {
        if (Kvm is not null)
            attached.Remove(Kvm);
        Kvm = null;
    }
}

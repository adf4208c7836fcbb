using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Vfio.Memory;

/// <summary>A device that does DMA of its own, behind an IOMMU (vfio.md §9).</summary>
public interface IDmaDevice
{
    /// <summary>Attaches it to a domain, in place of the one that it has.</summary>
    /// <param name="task">The task.</param>
    /// <param name="domain">The domain.</param>
    /// <returns>EIO if that fails; DMA is blocked then.</returns>
    ValueTask<Errno> AttachAsync(KernelTask task, object domain);

    /// <summary>Blocks its DMA; may be done without a domain.</summary>
    /// <param name="task">The task.</param>
    ValueTask BlockAsync(KernelTask task);

    /// <summary>Gives it back to the host, with the host's own translations.</summary>
    /// <param name="task">The task.</param>
    ValueTask ReturnAsync(KernelTask task);
}

/// <summary>
/// Whose the DMA of a physical group is: the host's drivers use it, or one owner has it for user space (vfio.md §3, M097).
/// </summary>
/// <param name="name">Name of the group, for reports.</param>
public sealed class DmaOwnership(string name)
{
    // Guards all that follows; a leaf, not held over calls.
    private readonly Lock _gate = new();
    private readonly List<IDmaDevice> _devices = [];
    private object? _owner;
    private int _claims;
    private int _hostUsers;

    /// <summary>How often it was claimed and not given back, for observers.</summary>
    public int Claims => _claims;

    /// <summary>Whether user space could have it, or has it: no driver of the host uses a device.</summary>
    public bool IsViable => _hostUsers == 0;

    /// <summary>A device joins the group.</summary>
    /// <param name="device">The device.</param>
    public void Add(IDmaDevice device)
    {
        lock (_gate)
            _devices.Add(device);
    }

    /// <summary>A device leaves the group.</summary>
    /// <param name="device">The device.</param>
    public void Remove(IDmaDevice device)
    {
        lock (_gate)
            _devices.Remove(device);
    }

    /// <summary>A driver of the host begins to use a device of the group.</summary>
    /// <param name="task">The task.</param>
    /// <returns>EBUSY while user space has the group.</returns>
    public Errno BeginHostUse(KernelTask task)
    {
        Touches(task);
        lock (_gate)
        {
            if (_claims > 0)
                return Errno.EBUSY;
            _hostUsers++;
            return Errno.Ok;
        }
    }

    /// <summary>A driver of the host does not use a device of the group any more.</summary>
    /// <param name="task">The task.</param>
    public void EndHostUse(KernelTask task)
    {
        Touches(task);
        lock (_gate)
            _hostUsers--;
    }

    /// <summary>Takes the group's DMA for an owner: it is blocked until a domain is attached.</summary>
    /// <param name="task">The task.</param>
    /// <param name="owner">Who takes it; may take it again.</param>
    /// <returns>EPERM while the host or another owner has it.</returns>
    internal async ValueTask<Errno> ClaimAsync(KernelTask task, object owner)
    {
        Touches(task);
        lock (_gate)
        {
            if (_hostUsers > 0 || (_claims > 0 && _owner != owner))
                return Errno.EPERM;
            _owner = owner;
            if (_claims++ > 0)
                return Errno.Ok;
        }
        await BlockAsync(task);
        return Errno.Ok;
    }

    /// <summary>Gives it back; with the last claim goes the owner.</summary>
    internal async ValueTask ReleaseAsync(KernelTask task)
    {
        Touches(task);
        lock (_gate)
        {
            if (--_claims > 0)
                return;
            _owner = null;
        }
        foreach (IDmaDevice device in Devices())
            await device.ReturnAsync(task);
    }

    /// <summary>Attaches all devices to a domain; if one fails, all are blocked.</summary>
    internal async ValueTask<Errno> AttachAsync(KernelTask task, object domain)
    {
        foreach (IDmaDevice device in Devices())
        {
            Errno error = await device.AttachAsync(task, domain);
            if (error == Errno.Ok)
                continue;
            await BlockAsync(task);
            return error;
        }
        return Errno.Ok;
    }

    internal async ValueTask BlockAsync(KernelTask task)
    {
        foreach (IDmaDevice device in Devices())
            await device.BlockAsync(task);
    }

    private IDmaDevice[] Devices()
    {
        lock (_gate)
            return [.. _devices];
    }

    private void Touches(KernelTask task)
    {
        if (task.HasPoints)
            task.Runtime.Touched($"DMA of {name}", isWrite: true);
    }
}

using System.Collections.Immutable;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
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
public sealed class DmaOwnership
{
    private readonly KernelRuntime _runtime;
    private readonly string _name;
    private readonly SharedState<State> _state;

    // Claims are those of Owner; HostUsers are drivers of the host. Never both.
    private readonly record struct State(ImmutableArray<IDmaDevice> Devices, object? Owner, int Claims, int HostUsers);

    /// <summary>Makes the ownership of a group without devices, which nobody uses.</summary>
    /// <param name="runtime">The runtime of those who use the group.</param>
    /// <param name="name">Name of the group, for reports.</param>
    public DmaOwnership(KernelRuntime runtime, string name)
    {
        _runtime = runtime;
        _name = name;
        _state = new SharedState<State>(this, VfioFields.Dma, new State([], Owner: null, Claims: 0, HostUsers: 0));
    }

    /// <summary>How often it was claimed and not given back, for observers.</summary>
    public int Claims => Read().Claims;

    /// <summary>Whether user space could have it, or has it: no driver of the host uses a device.</summary>
    public bool IsViable => Read().HostUsers == 0;

    /// <summary>A device joins the group.</summary>
    /// <param name="device">The device.</param>
    public void Add(IDmaDevice device)
    {
        using SharedState<State>.Section section = _state.Enter(_runtime, AccessKind.Write);
        section.Value = section.Value with { Devices = section.Value.Devices.Add(device) };
    }

    /// <summary>A device leaves the group.</summary>
    /// <param name="device">The device.</param>
    public void Remove(IDmaDevice device)
    {
        using SharedState<State>.Section section = _state.Enter(_runtime, AccessKind.Write);
        section.Value = section.Value with { Devices = section.Value.Devices.Remove(device) };
    }

    /// <summary>A driver of the host begins to use a device of the group.</summary>
    /// <param name="task">The task.</param>
    /// <returns>EBUSY while user space has the group.</returns>
    public Errno BeginHostUse(KernelTask task)
    {
        using SharedState<State>.Section section = _state.Enter(task.Runtime, AccessKind.Write);
        if (section.Value.Claims > 0)
            return Errno.EBUSY;
        section.Value = section.Value with { HostUsers = section.Value.HostUsers + 1 };
        return Errno.Ok;
    }

    /// <summary>A driver of the host does not use a device of the group any more.</summary>
    /// <param name="task">The task.</param>
    public void EndHostUse(KernelTask task)
    {
        using SharedState<State>.Section section = _state.Enter(task.Runtime, AccessKind.Write);
        section.Value = section.Value with { HostUsers = section.Value.HostUsers - 1 };
    }

    /// <inheritdoc/>
    public override string ToString() => $"DMA of {_name}";

    /// <summary>Takes the group's DMA for an owner: it is blocked until a domain is attached.</summary>
    /// <param name="task">The task.</param>
    /// <param name="owner">Who takes it; may take it again.</param>
    /// <returns>EPERM while the host or another owner has it.</returns>
    internal async ValueTask<Errno> ClaimAsync(KernelTask task, object owner)
    {
        Errno error = Claim(task, owner, out bool isFirst);
        if (isFirst)
            await BlockAsync(task);
        return error;
    }

    private Errno Claim(KernelTask task, object owner, out bool isFirst)
    {
        using SharedState<State>.Section section = _state.Enter(task.Runtime, AccessKind.Write);
        State state = section.Value;
        isFirst = false;
        if (state.HostUsers > 0 || (state.Claims > 0 && state.Owner != owner))
            return Errno.EPERM;
        isFirst = state.Claims == 0;
        section.Value = state with { Owner = owner, Claims = state.Claims + 1 };
        return Errno.Ok;
    }

    /// <summary>Gives it back; with the last claim goes the owner.</summary>
    internal async ValueTask ReleaseAsync(KernelTask task)
    {
        foreach (IDmaDevice device in Release(task))
            await device.ReturnAsync(task);
    }

    // The devices that go back to the host: none while there are claims.
    private ImmutableArray<IDmaDevice> Release(KernelTask task)
    {
        using SharedState<State>.Section section = _state.Enter(task.Runtime, AccessKind.Write);
        State state = section.Value;
        bool isLast = state.Claims == 1;
        section.Value = state with { Owner = isLast ? null : state.Owner, Claims = state.Claims - 1 };
        return isLast ? state.Devices : [];
    }

    /// <summary>Attaches all devices to a domain; if one fails, all are blocked.</summary>
    internal async ValueTask<Errno> AttachAsync(KernelTask task, object domain)
    {
        foreach (IDmaDevice device in Read().Devices)
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
        foreach (IDmaDevice device in Read().Devices)
            await device.BlockAsync(task);
    }

    private State Read()
    {
        using SharedState<State>.Section section = _state.Enter(_runtime, AccessKind.Read);
        return section.Value;
    }
}

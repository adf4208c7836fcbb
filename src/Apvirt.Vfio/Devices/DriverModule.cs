using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Vfio.Devices;

/// <summary>
/// The module that a VFIO driver is part of (vfio.md §4, M113): each open device has a reference, and while there is one the module
/// does not go. Once it goes nobody gets another, so that its devices cannot be opened any more.
/// </summary>
/// <param name="name">Its name.</param>
public sealed class DriverModule(string name)
{
    private RefCount _references = new(1);

    /// <summary>How many open devices use it, for observers; below 0 when it is going.</summary>
    /// <param name="runtime">The runtime of those who use it.</param>
    public int Users(KernelRuntime runtime) => _references.Read(runtime, this, VfioFields.Module) - 1;

    /// <inheritdoc/>
    public override string ToString() => name;

    /// <summary>Lets the module go, if no device of its is open.</summary>
    /// <param name="task">The unloading task.</param>
    /// <returns>Whether it goes; whoever unloads it then unregisters its drivers.</returns>
    public bool TryGo(KernelTask task) => _references.TryPutLast(task.Runtime, this, VfioFields.Module);

    internal bool TryGet(KernelTask task) => _references.TryGet(task.Runtime, this, VfioFields.Module);

    internal void Put(KernelTask task) => _references.Put(task.Runtime, this, VfioFields.Module);
}

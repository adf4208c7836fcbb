using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Bus;

/// <summary>
/// Proof that ap_perms_mutex is held: questions about the masks take one. Only <see cref="ApBus"/> makes it, by acquiring
/// the mutex.
/// </summary>
public readonly struct ApPermsHeld
{
    internal ApPermsHeld(ApBus bus, KernelTask task)
    {
        Bus = bus;
        Task = task;
    }

    /// <summary>Who holds it.</summary>
    public KernelTask Task { get; }

    internal ApBus Bus { get; }

    /// <summary>Releases the mutex.</summary>
    public void Release() => Bus.PermsMutex.Unlock(Task);
}

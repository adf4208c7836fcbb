using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Bus;

/// <summary>Changing apmask and aqmask (ap-bus.md §3, §4).</summary>
public sealed partial class ApBus
{
    /// <summary>Changes apmask as a write to it does.</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="text">What was written.</param>
    /// <returns>EINVAL for bad text, EBUSY if a queue that would go to the host is in use, EINTR on a signal.</returns>
    public ValueTask<Errno> StoreAdapterMaskAsync(KernelTask task, ReadOnlyMemory<byte> text) =>
        StoreMaskAsync(task, text, ofAdapters: true);

    /// <summary>Changes aqmask as a write to it does.</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="text">What was written.</param>
    /// <returns>EINVAL for bad text, EBUSY if a queue that would go to the host is in use, EINTR on a signal.</returns>
    public ValueTask<Errno> StoreDomainMaskAsync(KernelTask task, ReadOnlyMemory<byte> text) =>
        StoreMaskAsync(task, text, ofAdapters: false);

    private async ValueTask<Errno> StoreMaskAsync(KernelTask task, ReadOnlyMemory<byte> text, bool ofAdapters)
    {
        if (await PermsMutex.LockInterruptibleAsync(task) != Errno.Ok)
            return Errno.EINTR;
        ApMask current = ReadMask(task, ofAdapters);
        Errno error = MaskText.Parse(text.Span, current, out ApMask changed);
        if (error != Errno.Ok || changed == current)
        {
            PermsMutex.Unlock(task);
            return error;
        }
        error = await CheckInUseAsync(task, changed & ~current, ofAdapters);
        if (error == Errno.Ok)
        {
            if (ofAdapters)
                _apmask.Write(task, this, ApGuards.Masks, changed);
            else
                _aqmask.Write(task, this, ApGuards.Masks, changed);
        }
        PermsMutex.Unlock(task);
        if (error != Errno.Ok)
            return error;
        await ReviseBindingsAsync(task);
        Model.Uevents.Send(this, "change", ofAdapters ? "APMASK" : "AQMASK", changed + "\n");
        return Errno.Ok;
    }

    // Only bits that become set are checked, against the other mask as it is (M021).
    private async ValueTask<Errno> CheckInUseAsync(KernelTask task, ApMask newlySet, bool ofAdapters)
    {
        if (newlySet.IsEmpty)
            return Errno.Ok;
        ApMask apm = ofAdapters ? newlySet : _apmask.Read(task, this, ApGuards.Masks);
        ApMask aqm = ofAdapters ? _aqmask.Read(task, this, ApGuards.Masks) : newlySet;
        foreach (Driver driver in Drivers())
        {
            if (await ((ApDriver)driver).InUseAsync(task, apm, aqm) != Errno.Ok)
                return Errno.EBUSY;
        }
        return Errno.Ok;
    }

    private async ValueTask<bool> IsMisplacedAsync(KernelTask task, ApQueue queue)
    {
        ApPermsHeld perms = await LockPermsAsync(task);
        bool isHostOwned = IsHostOwned(perms, queue.Apqn);
        perms.Release();
        bool isOnDefaultDriver = queue.ReadDriver(task) is ApDriver { IsDefault: true };
        return isHostOwned != isOnDefaultDriver;
    }

    // An unbound queue counts as not bound to a default driver: one that belongs to the host is offered to the drivers,
    // one that belongs to vfio_ap stays unbound (QUIRKS.md 21).
    private async ValueTask ReviseBindingsAsync(KernelTask task)
    {
        foreach (Device device in Devices())
        {
            if (device is not ApQueue queue)
                continue;
            await task.NextStepAsync("revise binding");
            if (_options.Profile.Deviates(task, Quirk.BindingReadUnlocked))
            {
                if (await IsMisplacedAsync(task, queue))
                    await ReprobeAsync(task, queue);
                continue;
            }
            await queue.Lock.LockAsync(task);
            if (await IsMisplacedAsync(task, queue))
                await ReprobeLockedAsync(task, queue);
            queue.Lock.Unlock(task);
        }
    }
}

using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioAp.Matrix;

namespace Apvirt.VfioAp.Mdev;

/// <summary>The texts of matrix, guest_matrix and control_domains (vfio-ap.md §7).</summary>
public sealed partial class MatrixMdev
{
    private const int LineLength = 8;

    /// <summary>Shows what is assigned.</summary>
    /// <param name="task">The reading task.</param>
    /// <param name="text">The page.</param>
    public ValueTask<Errno> ShowMatrixAsync(KernelTask task, SysfsText text) => ShowAsync(task, text, ofGuest: false);

    /// <summary>Shows what the guest has or would have.</summary>
    /// <param name="task">The reading task.</param>
    /// <param name="text">The page.</param>
    public ValueTask<Errno> ShowGuestMatrixAsync(KernelTask task, SysfsText text) => ShowAsync(task, text, ofGuest: true);

    /// <summary>Shows the assigned control domains.</summary>
    /// <param name="task">The reading task.</param>
    /// <param name="text">The page.</param>
    public async ValueTask<Errno> ShowControlDomainsAsync(KernelTask task, SysfsText text)
    {
        MdevsHeld mdevs = await Owner.LockMdevsAsync(task);
        foreach (int apqi in ReadMatrix(task).Adm)
            text.AppendHex((uint)apqi, 4).AppendLine();
        mdevs.Release();
        return Errno.Ok;
    }

    private async ValueTask<Errno> ShowAsync(KernelTask task, SysfsText text, bool ofGuest)
    {
        MdevsHeld mdevs = await Owner.LockMdevsAsync(task);
        Append(text, ofGuest ? ReadShadow(task) : ReadMatrix(task), Owner.Profile.Has(Quirk.TextCutInLine));
        mdevs.Release();
        return Errno.Ok;
    }

    private static void Append(SysfsText text, in MatrixMasks masks, bool cutsInLine)
    {
        if (masks.Apm.IsEmpty)
        {
            foreach (int apqi in masks.Aqm)
                text.Append("."u8).AppendHex((uint)apqi, 4).AppendLine();
            return;
        }
        foreach (int apid in masks.Apm)
        {
            if (masks.Aqm.IsEmpty)
                text.AppendHex((uint)apid, 2).Append(".\n"u8);
            foreach (int apqi in masks.Aqm)
            {
                if (text.IsFull || (!cutsInLine && text.Length + LineLength > SysfsText.Capacity))
                    return;
                text.AppendHex((uint)apid, 2).Append("."u8).AppendHex((uint)apqi, 4).AppendLine();
            }
        }
    }
}

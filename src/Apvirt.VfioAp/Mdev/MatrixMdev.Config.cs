using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioAp.Matrix;

namespace Apvirt.VfioAp.Mdev;

/// <summary>ap_config: the whole matrix in one store (vfio-ap.md §5).</summary>
public sealed partial class MatrixMdev
{
    // Three printed masks with a separator behind each.
    private const int ConfigLength = 3 * (MaskText.PrintedLength + 1);

    /// <summary>Shows the matrix as three masks.</summary>
    /// <param name="task">The reading task.</param>
    /// <param name="text">The page.</param>
    public async ValueTask<Errno> ShowConfigAsync(KernelTask task, SysfsText text)
    {
        if (Owner.Profile.Deviates(task, Quirk.UnlockedConfigShow))
        {
            // Mask by mask: whoever stores in between is seen in part.
            text.AppendMask(ReadMatrix(task).Apm).Append(","u8);
            text.AppendMask(ReadMatrix(task).Aqm).Append(","u8);
            text.AppendMask(ReadMatrix(task).Adm).AppendLine();
            return Errno.Ok;
        }
        MdevsHeld mdevs = await Owner.LockMdevsAsync(task);
        AppendMasks(text, ReadMatrix(task));
        mdevs.Release();
        return Errno.Ok;
    }

    private static void AppendMasks(SysfsText text, in MatrixMasks matrix) =>
        text.AppendMask(matrix.Apm).Append(","u8).AppendMask(matrix.Aqm).Append(","u8).AppendMask(matrix.Adm).AppendLine();

    /// <summary>Replaces the matrix. For the writer it is all or nothing; a guest may see up to three steps (QUIRKS.md 25).</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="text">Three masks.</param>
    /// <returns>EINVAL for the text, then EADDRNOTAVAIL, EADDRINUSE, then ENODEV above the maximum.</returns>
    public async ValueTask<Errno> StoreConfigAsync(KernelTask task, ReadOnlyMemory<byte> text)
    {
        ApPermsHeld perms = await Owner.ApBus.LockPermsAsync(task);
        UpdateLocks locks = await Owner.LockForUpdateAsync(task, this);
        Errno error = ParseConfig(text.Span, out MatrixMasks wanted);
        if (error == Errno.Ok)
            error = Validate(perms, locks, wanted.Apm, wanted.Aqm);
        if (error == Errno.Ok && !IsWithinLimits(wanted))
            error = Errno.ENODEV;
        if (error == Errno.Ok)
            await ReplaceAsync(locks, wanted);
        locks.Release();
        perms.Release();
        return error;
    }

    private async ValueTask ReplaceAsync(UpdateLocks locks, MatrixMasks wanted)
    {
        MatrixMasks before = ReadMatrix(locks.Task);
        await UnplugAsync(locks, before.Apm & ~wanted.Apm, isAdapters: true);
        await UnplugAsync(locks, before.Aqm & ~wanted.Aqm, isAdapters: false);
        ChangeMatrix(locks) = wanted;
        LinkDomains(locks, wanted.Apm & ~before.Apm, wanted.Aqm);
        LinkDomains(locks, wanted.Apm, wanted.Aqm & ~before.Aqm);
        await FilterAndUpdateAsync(locks, matrix: true, controlDomains: true);
    }

    private bool IsWithinLimits(in MatrixMasks wanted) =>
        wanted.Apm.IsSubsetOf(ApMask.UpTo(MaxAdapter))
        && (wanted.Aqm | wanted.Adm).IsSubsetOf(ApMask.UpTo(MaxDomain));

    // Fields end at a comma or a line feed; the third may be empty if a separator begins it, and nothing after it counts.
    private static Errno ParseConfig(ReadOnlySpan<byte> text, out MatrixMasks masks)
    {
        masks = default;
        if (text.Length > ConfigLength)
            text = text[..ConfigLength];
        Span<ApMask> fields = stackalloc ApMask[3];
        for (int i = 0; i < fields.Length; i++)
        {
            if (i > 0 && text.IsEmpty)
                return Errno.EINVAL;
            if (i > 0)
                text = text[1..];
            int end = text.IndexOfAny((byte)',', (byte)'\n');
            ReadOnlySpan<byte> field = end < 0 ? text : text[..end];
            text = text[field.Length..];
            if (MaskText.ParseAbsolute(field, ref fields[i]) != Errno.Ok)
                return Errno.EINVAL;
        }
        masks = new MatrixMasks(fields[0], fields[1], fields[2]);
        return Errno.Ok;
    }
}

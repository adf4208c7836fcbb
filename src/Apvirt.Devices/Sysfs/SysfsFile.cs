using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Devices.Sysfs;

/// <summary>How a file is opened.</summary>
[Flags]
public enum SysfsAccess
{
    /// <summary>For reading.</summary>
    Read = 1,
    /// <summary>For writing.</summary>
    Write = 2,
}

/// <summary>
/// An open attribute file with the rules that hold for every attribute (sysfs.md §0): access is checked at open, the
/// text is produced at the first read and served from then on, one write is one store, and a file whose object has gone
/// answers ENODEV.
/// </summary>
public sealed class SysfsFile
{
    /// <summary>The most bytes of one write that a store sees (G3).</summary>
    public const int WriteLimit = 4096;

    internal static readonly LockClass FileClass = new("of->mutex", LockKind.Mutex);

    [OwnedBy("Whoever opens the file or opens it anew, which nobody does while somebody has it open.")]
    private SysfsEntry _entry;
    private Guarded<SysfsText?> _text;
    private Shared<bool> _isShown;

    /// <summary>Opens an entry whose access has been checked.</summary>
    /// <param name="entry">An attribute.</param>
    public SysfsFile(SysfsEntry entry)
    {
        _entry = entry;
        Mutex = new KernelMutex(FileClass, owner: this);
    }

    // One call at a time on an open file; outside all that a show or store takes.
    internal KernelMutex Mutex { get; }

    /// <summary>The attribute.</summary>
    public SysfsAttribute Attribute => _entry.Attribute!;

    /// <summary>Opens an entry as root would (G6: the mode counts even for root).</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="access">For what.</param>
    /// <param name="file">The open file.</param>
    /// <returns>EISDIR for a directory, EACCES if the mode lacks every bit needed.</returns>
    public static Errno Open(SysfsEntry entry, SysfsAccess access, out SysfsFile? file)
    {
        file = null;
        Errno error = CheckAccess(entry, access);
        if (error == Errno.Ok)
            file = new SysfsFile(entry);
        return error;
    }

    /// <summary>Makes a file that nobody has open any more serve another entry, as a new one would.</summary>
    /// <param name="entry">An attribute whose access has been checked.</param>
    public void Reopen(SysfsEntry entry)
    {
        _isShown.Write(entry.Directory.Runtime, this, DeviceFields.IsShown, false);
        _entry = entry;
    }

    /// <summary>Reads from an offset; offset 0 produces the text anew (G2).</summary>
    /// <param name="task">The reading task.</param>
    /// <param name="offset">Position in bytes.</param>
    /// <param name="into">Where to put the bytes.</param>
    /// <returns>The error, or the number of bytes; fewer than asked for means the end.</returns>
    public async ValueTask<(Errno Error, int Count)> ReadAsync(KernelTask task, long offset, Memory<byte> into)
    {
        await Mutex.LockAsync(task);
        SysfsText text = _text.Read(task, this, DeviceGuards.FileText) ?? MakeText(task);
        Errno error = Errno.Ok;
        int count = 0;
        if (offset == 0 || !_isShown.Read(task.Runtime, this, DeviceFields.IsShown))
        {
            error = await ShowAsync(task, _entry, text);
            _isShown.Write(task.Runtime, this, DeviceFields.IsShown, error == Errno.Ok);
        }
        else if (_entry.References!.IsDeleted(task.Runtime))
        {
            error = Errno.ENODEV;
        }
        if (error == Errno.Ok)
        {
            count = (int)Math.Clamp(text.Length - offset, 0, into.Length);
            text.Memory.Slice((int)Math.Min(offset, text.Length), count).CopyTo(into);
        }
        Mutex.Unlock(task);
        return (error, count);
    }

    /// <summary>Writes; the offset does not matter (G3).</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="data">The bytes.</param>
    /// <returns>The error, or the number of bytes taken: all of them, but at most 4096.</returns>
    public async ValueTask<(Errno Error, int Count)> WriteAsync(KernelTask task, ReadOnlyMemory<byte> data)
    {
        await Mutex.LockAsync(task);
        Errno error = await StoreAsync(task, _entry, data);
        Mutex.Unlock(task);
        return (error, error == Errno.Ok ? Math.Min(data.Length, WriteLimit) : 0);
    }

    /// <inheritdoc/>
    public override string ToString() => $"{_entry.Directory}/{_entry.Name}";

    // Made when the file is first read: many are only written.
    private SysfsText MakeText(KernelTask task)
    {
        SysfsText text = new();
        _text.Write(task, this, DeviceGuards.FileText, text);
        return text;
    }

    /// <summary>Whether an entry can be opened.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="access">For what.</param>
    /// <returns>EISDIR for a directory, EACCES if the mode lacks every bit needed.</returns>
    public static Errno CheckAccess(SysfsEntry entry, SysfsAccess access)
    {
        if (entry.Attribute is not { } attribute)
            return Errno.EISDIR;
        bool refused = (access.HasFlag(SysfsAccess.Read) && (attribute.Mode & SysfsMode.ReadOnly) == SysfsMode.None)
            || (access.HasFlag(SysfsAccess.Write) && (attribute.Mode & SysfsMode.AnyWrite) == SysfsMode.None);
        return refused ? Errno.EACCES : Errno.Ok;
    }

    /// <summary>Produces the text of an attribute that is open for reading.</summary>
    /// <param name="task">The reading task.</param>
    /// <param name="entry">The attribute and its owner.</param>
    /// <param name="text">The page; emptied first.</param>
    /// <returns>ENODEV if the owner has gone, else what the show function answers.</returns>
    public static ValueTask<Errno> ShowAsync(KernelTask task, SysfsEntry entry, SysfsText text)
    {
        text.Clear();
        return task.HasPoints ? AtPointAsync(task, entry, text) : ShowNowAsync(task, entry, text);
    }

    private static async ValueTask<Errno> AtPointAsync(KernelTask task, SysfsEntry entry, SysfsText text)
    {
        await task.NextStepAsync("read or write");
        await entry.References!.PointAsync(task);
        return await ShowNowAsync(task, entry, text);
    }

    private static async ValueTask<Errno> AtPointAsync(KernelTask task, SysfsEntry entry, ReadOnlyMemory<byte> data)
    {
        await task.NextStepAsync("read or write");
        await entry.References!.PointAsync(task);
        return await StoreNowAsync(task, entry, data);
    }

    private static ValueTask<Errno> ShowNowAsync(KernelTask task, SysfsEntry entry, SysfsText text)
    {
        if (!entry.References!.TryEnter(task))
            return new ValueTask<Errno>(Errno.ENODEV);
        ValueTask<Errno> show = entry.Attribute!.ShowAsync(task, entry.Directory, text);
        if (!show.IsCompletedSuccessfully)
            return LeaveAfterAsync(task, entry, show);
        entry.References.Exit(task);
        return new ValueTask<Errno>(show.Result);
    }

    /// <summary>Stores into an attribute that is open for writing: rules G3 to G5 and G9.</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="entry">The attribute and its owner.</param>
    /// <param name="data">What one write brings.</param>
    /// <returns>ENODEV if the owner has gone, else what the store function answers.</returns>
    public static ValueTask<Errno> StoreAsync(KernelTask task, SysfsEntry entry, ReadOnlyMemory<byte> data)
    {
        if (data.IsEmpty)
            return new ValueTask<Errno>(Errno.Ok);
        if (data.Length > WriteLimit)
            data = data[..WriteLimit];
        int nul = data.Span.IndexOf((byte)0);
        if (nul >= 0)
            data = data[..nul];
        if (entry.Attribute!.RemovesItsOwner)
        {
            return entry.References!.IsDeleted(task.Runtime)
                ? new ValueTask<Errno>(Errno.ENODEV)
                : entry.Attribute.StoreAsync(task, entry.Directory, data);
        }
        return task.HasPoints ? AtPointAsync(task, entry, data) : StoreNowAsync(task, entry, data);
    }

    private static ValueTask<Errno> StoreNowAsync(KernelTask task, SysfsEntry entry, ReadOnlyMemory<byte> data)
    {
        if (!entry.References!.TryEnter(task))
            return new ValueTask<Errno>(Errno.ENODEV);
        ValueTask<Errno> store = entry.Attribute!.StoreAsync(task, entry.Directory, data);
        if (!store.IsCompletedSuccessfully)
            return LeaveAfterAsync(task, entry, store);
        entry.References.Exit(task);
        return new ValueTask<Errno>(store.Result);
    }

    private static async ValueTask<Errno> LeaveAfterAsync(KernelTask task, SysfsEntry entry, ValueTask<Errno> operation)
    {
        try
        {
            return await operation;
        }
        finally
        {
            entry.References!.Exit(task);
        }
    }
}

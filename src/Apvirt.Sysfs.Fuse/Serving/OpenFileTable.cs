using Apvirt.Devices.Sysfs;

namespace Apvirt.Sysfs.Fuse.Serving;

/// <summary>An open attribute file and who still uses it.</summary>
internal sealed class OpenFile(int number, SysfsFile file)
{
    internal int Number { get; } = number;

    internal SysfsFile File { get; } = file;

    // One for the handle that user space has and one for each call under way. Guarded by the table.
    internal int Users { get; set; }
}

/// <summary>Open files by the number that the operating system has for each; used again, so that opening allocates nothing.</summary>
internal sealed class OpenFileTable
{
    // Guards everything here; a leaf.
    private readonly Lock _gate = new();
    private readonly List<OpenFile> _files = [];
    private readonly Stack<OpenFile> _free = [];

    /// <summary>Number of open files.</summary>
    internal int Count
    {
        get
        {
            lock (_gate)
                return _files.Count - _free.Count;
        }
    }

    internal OpenFile Open(SysfsEntry entry)
    {
        lock (_gate)
        {
            if (_free.TryPop(out OpenFile? file))
            {
                file.File.Reopen(entry);
            }
            else
            {
                file = new OpenFile(_files.Count, new SysfsFile(entry));
                _files.Add(file);
            }
            file.Users = 1;
            return file;
        }
    }

    /// <summary>Begins a call on an open file.</summary>
    internal OpenFile Use(ulong number)
    {
        lock (_gate)
        {
            OpenFile file = _files[(int)number];
            file.Users++;
            return file;
        }
    }

    /// <summary>Ends a call, or closes the file.</summary>
    internal void Leave(OpenFile file)
    {
        lock (_gate)
        {
            if (--file.Users == 0)
                _free.Push(file);
        }
    }

    internal void Close(ulong number)
    {
        lock (_gate)
            Leave(_files[(int)number]);
    }
}
